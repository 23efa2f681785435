import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalCloud, startCloud } from '../../infra/local/cloud.ts';
import type { InvokeResult, LocalFunction } from '../../infra/local/lambda/function.ts';

let cloud: LocalCloud;
before(async () => {
  cloud = await startCloud({ stage: 'dev' });
});
after(() => cloud[Symbol.asyncDispose]());

/** The log lines without the metrics line; asserts that each line is one JSON object. */
const linesOf = ({ logs }: InvokeResult): Record<string, unknown>[] =>
  logs
    .map((line) => {
      const parsed = JSON.parse(line);
      assert.equal(Object.prototype.toString.call(parsed), '[object Object]', line);
      return parsed;
    })
    .filter((line) => !line._aws);

async function completed(fn: LocalFunction, event: unknown) {
  const invocation = await fn.invoke(event);
  assert.equal(invocation.error, undefined);
  return { ...invocation, result: invocation.payload as Record<string, unknown> };
}

test('A warm execution environment keeps the secret: it is read once per cold start.', async () => {
  const before = cloud.secrets.reads;
  const first = await completed(cloud.functions.sync, {});
  assert.deepEqual([first.coldStart, first.result.status], [true, 'completed']);
  assert.equal(cloud.target.models.size, cloud.records.length);
  assert.equal(cloud.secrets.reads, before + 1);
  const second = await completed(cloud.functions.sync, {});
  assert.deepEqual([second.coldStart, second.result.status], [false, 'completed']);
  assert.equal(cloud.secrets.reads, before + 1);
  assert.deepEqual(await cloud.lockKeys(), []);
});

test('Every line of a run is one JSON object with the run, the job and the request.', async () => {
  const invocation = await completed(cloud.functions.sync, { scheduledTime: '2026-11-24T12:15:00Z' });
  const lines = linesOf(invocation);
  assert.deepEqual(
    lines.map(({ message }) => message).filter((message) => !/^resuming/.test(String(message))),
    ['started: the lock is ours', 'completed'],
  );
  const { runId, fencingToken, report } = invocation.result;
  for (const line of lines) {
    assert.partialDeepStrictEqual(line, {
      ...{ level: 'INFO', service: 'solotick', job: 'models', runId, kind: 'tick', fencingToken },
      function_request_id: invocation.requestId,
    });
    assert.ok(!Number.isNaN(Date.parse(String(line.timestamp))));
  }
  assert.deepEqual(lines.at(-1)?.report, report);
});

test('Keys that one invocation adds to its lines do not appear in the lines of the next.', async () => {
  await completed(cloud.functions.sync, { scheduledTime: '2026-11-24T12:30:00Z' });
  const skipped = await completed(cloud.functions.sync, { scheduledTime: '2026-11-24T12:30:00Z' });
  assert.deepEqual([skipped.coldStart, skipped.result.reason], [false, 'duplicate']);
  const [line] = linesOf(skipped);
  assert.equal(line?.runId, skipped.result.runId);
  assert.equal(line?.fencingToken, undefined);
  assert.equal(line?.reason, 'duplicate');
});

test('An error is the invocation’s answer by its stable name, and one log line with its code.', async () => {
  const { functions } = cloud;
  for (const [fn, event, message] of [
    [functions.sync, { scheduledtime: 'x' }, 'the tick event was refused: unknown key scheduledtime'],
    [
      functions.backfill,
      { since: '2026-01-02T00:00:00Z', until: '2026-01-01T00:00:00Z' },
      /since must be before until$/,
    ],
    [
      functions.control,
      { action: 'dance' },
      /must be "status", "pause", "resume", "reset", "approve-removals" or "cancel-backfill"$/,
    ],
  ] as const) {
    const invocation = await fn.invoke(event);
    assert.equal(invocation.payload, undefined);
    assert.equal(invocation.error?.errorType, 'EventError');
    assert.match(invocation.error?.errorMessage ?? '', new RegExp(message));
    const [line, ...more] = linesOf(invocation);
    assert.deepEqual(more, []);
    const { errorMessage } = invocation.error ?? {};
    assert.partialDeepStrictEqual(line, {
      ...{ level: 'ERROR', message: 'the invocation failed', function_request_id: invocation.requestId },
      error: { name: 'EventError', code: 'EVENT', message: errorMessage },
    });
  }
});

test('The artifact runs backfills and reports the status as well.', async () => {
  const { id } = cloud.records[5]!;
  const { result } = await completed(cloud.functions.backfill, { ids: [id] });
  assert.partialDeepStrictEqual(result, { status: 'completed', report: { read: 1, written: 1 } });
  const status = await completed(cloud.functions.control, { action: 'status' });
  assert.partialDeepStrictEqual(status.result, { paused: false, lastBackfill: { runId: result.runId } });
  assert.deepEqual(await cloud.lockKeys(), []);
});

test('Every invocation answers with the names of missing settings, before it sends any request.', async () => {
  await using bare = await startCloud({ stage: 'dev', env: { SOURCE_URL: '', LOCK_TTL_SECONDS: '1' } });
  for (const fn of Object.values(bare.functions)) {
    for (let times = 0; times < 2; times++) {
      const { error } = await fn.invoke({});
      assert.equal(error?.errorType, 'SettingsError');
      assert.match(error?.errorMessage ?? '', /^2 setting\(s\).*SOURCE_URL is missing; LOCK_TTL_SECONDS must be/);
    }
  }
  assert.equal(bare.secrets.reads, 0);
  assert.deepEqual([bare.source.requests, bare.target.writes], [[], []]);
});
