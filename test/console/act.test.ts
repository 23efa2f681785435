import assert from 'node:assert/strict';
import { test } from 'node:test';
import { act } from '../../infra/console/act.ts';
import type { Action } from '../../infra/console/action.ts';
import { troubleOf } from '../../infra/console/trouble.ts';
import type { Functions } from '../../infra/operate/functions.ts';
import { Refusal } from '../../infra/terminal/refusal.ts';
import { newReport } from '../../lib/report.ts';
import type { Result } from '../../lib/run/result.ts';
import { sampleStatus } from './sample.ts';

const result = (more: Partial<Result>): Result => ({
  ...{ status: 'completed', job: 'models', runId: 'run-1', report: newReport(), ...more },
});
const partial = result({ status: 'partial', reason: 'yielded', message: 'a tick waits' });
const skipped = result({ status: 'skipped', reason: 'locked', message: 'the lock is held' });

/** Does what is asked for, with functions that give these answers, one for each shard; and says what they were sent. */
async function acting(action: Action, ...answers: Result[]) {
  const events: object[] = [];
  const answer = async (event: object) => {
    events.push(event);
    return answers[events.length - 1]!;
  };
  const control: Functions['control'] = async () => sampleStatus('models', Date.now());
  const functions = { sync: answer, backfill: answer, control };
  return { events, ...(await act(action, { functions, shards: answers.length, startedBy: 'jo' })) };
}

test('A tick that is partial says why, and what comes next.', async () => {
  assert.equal(
    (await acting({ do: 'tick' }, partial)).sentence,
    'The tick is partial: 0 read, 0 written. It ended early (a tick waits), and the next tick goes on with it.',
  );
});

test('A retry that has not tried all the failed records is no success, and says what to do.', async () => {
  assert.partialDeepStrictEqual(await acting({ do: 'retry-failed' }, result({})), {
    outcome: 'done',
    sentence: 'Of 2 failed records: 0 read, 0 written. The next tick clears the list.',
  });
  assert.partialDeepStrictEqual(await acting({ do: 'retry-failed' }, partial), {
    outcome: 'failed',
    sentence: 'Of 2 failed records: 0 read, 0 written. Not all were tried (a tick waits): retry them again.',
  });
  assert.partialDeepStrictEqual(await acting({ do: 'retry-failed' }, result({}), skipped), {
    outcome: 'failed',
    sentence: 'Of 2 failed records: 0 read, 0 written. Not all were tried (the lock is held): retry them again.',
  });
  assert.partialDeepStrictEqual(await acting({ do: 'retry-failed' }, skipped, skipped), {
    outcome: 'refused',
    sentence: 'Nothing was tried: the lock is held.',
  });

  test('Where a comparison does not find out what has vanished, nobody is told that nothing would go.', async () => {
    const { outcome, sentence } = await acting(
      { do: 'show-removals' },
      result({ differences: [], vanishedUnknown: true }),
    );
    assert.equal(outcome, 'refused');
    assert.match(sentence, /^It is not known what would go/);
  });

  test('A backfill that has ended early goes on by its id, and one can be cut into windows.', async () => {
    const resumed = await acting({ do: 'resume-backfill', backfillId: 'id-1' }, result({ status: 'started' }));
    assert.deepEqual(resumed.events, [{ backfillId: 'id-1', detach: true, startedBy: 'jo' }]);
    const since = '2026-01-01T00:00:00.000Z';
    const windows: Action = { do: 'backfill', since, windowSeconds: 3600, dryRun: false };
    const started = await acting(windows, result({ status: 'started', backfillId: 'id-2' }));
    assert.deepEqual(started.events, [{ since, windowSeconds: 3600, detach: true, startedBy: 'jo' }]);
  });
});

test('The page asks for a status again by itself, but not for an action that may have been done.', () => {
  const cause = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
  for (const error of [new Refusal('sync could not be invoked', { cause }), new Error('no idea')]) {
    assert.match(troubleOf(error, { local: false, asked: 'status' }).advice, /This page asks again by itself\.$/);
    const { advice } = troubleOf(error, { local: false, asked: 'action' });
    assert.match(advice, /It may have been done all the same: look at the job before you ask for it again\.$/);
  }
});
