import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JobStatus, statusTable } from '../../infra/operate/status-table.ts';
import { chooseJob } from '../../infra/terminal/choose-job.ts';
import { newReport } from '../../lib/report.ts';
import type { Status } from '../../lib/run/status.ts';

const nowMs = Date.parse('2026-11-24T13:00:00Z');

function statusOf(job: string, more: Partial<Status> = {}): JobStatus {
  return {
    job,
    status: {
      ...{
        job,
        stage: 'dev',
        lockKey: '/lock',
        paused: false,
        consecutiveSkips: 0,
        failed: [],
        history: [],
        backfills: [],
      },
      ...more,
    },
  };
}

const run = (status: 'completed' | 'failed', endedAt: string, written: number): NonNullable<Status['lastRun']> => ({
  ...{ runId: 'run', kind: 'tick', status, startedAt: endedAt, endedAt, fencingToken: '1' },
  report: { ...newReport(), written },
  ...(status === 'failed' && { error: { name: 'TargetDownError', code: 'TARGET_DOWN', message: 'down' } }),
});
const heldBy = { key: '/lock/1', leaseId: '1', createRevision: '1', kind: 'tick', runId: 'r-1' } as Status['heldBy'];

test('The table has a line for each job: who runs, how the last tick ended, what remains, the lag, and a pause.', () => {
  const lines = statusTable(
    [
      statusOf('models', {
        lastRun: run('completed', '2026-11-24T12:50:00.123Z', 687),
        lastCompletedStartedAt: '2026-11-24T12:49:00Z',
        pause: { since: '2026-11-24T12:55:00Z', note: 'it moves' },
      }),
      statusOf('contacts', {
        ...{ heldBy: heldBy!, failedCount: 3 },
        lastRun: run('failed', '2026-11-24T12:45:00.000Z', 5),
      }),
      statusOf('new'),
    ],
    nowMs,
  );
  assert.deepEqual(lines, [
    'JOB       RUNNING   LAST RUN                                       WRITTEN  FAILED  LAG         PAUSED',
    'models    -         completed 2026-11-24T12:50:00Z                 687      0       11 min 0 s  since 2026-11-24T12:55:00Z: it moves',
    'contacts  tick r-1  failed (TargetDownError) 2026-11-24T12:45:00Z  5        3       never       no',
    'new       -         none yet                                       -        0       never       no',
  ]);
});

test('A job in shards is one line: how many run, the last of the runs, all that they wrote, and the longest lag.', () => {
  const shard = (lastCompletedStartedAt: string, written: number, more: Partial<Status> = {}) =>
    (
      statusOf('models', {
        lastCompletedStartedAt,
        lastRun: run('completed', lastCompletedStartedAt, written),
        ...more,
      }) as {
        status: Status;
      }
    ).status;
  const shards = [shard('2026-11-24T12:59:00.000Z', 2, { heldBy: heldBy! }), shard('2026-11-24T12:00:00.000Z', 3)];
  const [, line] = statusTable([statusOf('models', { shards, failedCount: 1 })], nowMs);
  assert.equal(line, 'models  1 of 2 shards  completed 2026-11-24T12:59:00Z  5        1       1 h 0 min  no');
});

test('Removals that are withheld have a column, which is there only where a job has any.', () => {
  const lines = statusTable([statusOf('models', { removalsWithheld: 120 }), statusOf('contacts')], nowMs);
  assert.deepEqual(lines, [
    'JOB       RUNNING  LAST RUN  WRITTEN  FAILED  WITHHELD  LAG    PAUSED',
    'models    -        none yet  -        0       120       never  no',
    'contacts  -        none yet  -        0       0         never  no',
  ]);
});

test('A job that does not answer says why in its line, which does not widen the columns of the others.', () => {
  const error = 'contacts-control could not be invoked: ResourceNotFoundException: there is no such function';
  const [, models, contacts] = statusTable([statusOf('models'), { job: 'contacts', error }], nowMs);
  assert.deepEqual(
    [models, contacts],
    ['models    -        none yet  -        0       never  no', `contacts  ${error}`],
  );
});

test('The job of a command may be left out where there is one; otherwise the jobs to choose from are listed.', () => {
  assert.equal(chooseJob(['models'], undefined), 'models');
  assert.equal(chooseJob(['models', 'contacts'], 'contacts'), 'contacts');
  const both = 'say which job: --job models, or --job contacts';
  assert.throws(() => chooseJob(['models', 'contacts'], undefined), { name: 'Refusal', message: both });
  assert.throws(() => chooseJob(['models'], 'contacts'), { message: 'there is no job contacts: say --job models' });
});
