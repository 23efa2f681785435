import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCloud } from '../../infra/local/cloud.ts';
import { until } from '../support/pipeline.ts';

test('The deployed artifact continues a partial pass by invoking itself through Lambda’s API until the pass is complete.', async () => {
  const lines: { message?: string; event?: { hop?: number } }[] = [];
  await using cloud = await startCloud({
    stage: 'dev',
    // Of the function's 300 s a run has 25.
    env: { CONTINUE: 'self', CONCURRENCY: '10', DEADLINE_RESERVE_SECONDS: '275' },
    onLog: (_, line) => {
      if (line.startsWith('{')) lines.push(JSON.parse(line));
    },
  });
  const { target, records } = cloud;
  // Once, after the first page, the target demands a pause longer than the run.
  let paused = false;
  target.retryAfterSeconds = 30;
  target.refuse = () => {
    if (paused || target.models.size < 550) return;
    paused = true;
    return 429;
  };

  const { payload } = await cloud.functions.sync.invoke({ kind: 'tick' });
  assert.equal((payload as { status: string }).status, 'partial');
  await until(() => lines.some(({ message }) => message === 'completed'));
  assert.deepEqual(
    lines.flatMap(({ event }) => (event?.hop === undefined ? [] : [event])),
    [{ kind: 'continue', root: (payload as { runId: string }).runId, hop: 1 }],
  );
  assert.equal(target.models.size, records.length);
  assert.ok(paused);
});

test('The deployed artifact sends an invalid record to the dead-letter queue.', async () => {
  await using cloud = await startCloud({ stage: 'dev' });
  cloud.source.records = [{ id: 'broken' }, ...cloud.records];
  const { payload } = await cloud.functions.sync.invoke({ kind: 'tick' });
  assert.equal((payload as { status: string }).status, 'completed');
  const [letter, ...others] = cloud.deadLetters.messages.map((message) => JSON.parse(message));
  assert.deepEqual([letter.id, letter.kind, letter.record], ['broken', 'invalid', { id: 'broken' }]);
  assert.deepEqual(others, []);
});
