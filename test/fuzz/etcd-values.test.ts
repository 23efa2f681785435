import assert from 'node:assert/strict';
import fc from 'fast-check';
import { readable } from '../../infra/local/log-line.ts';
import { describeStatus } from '../../infra/operate/status.ts';
import { printable } from '../../infra/terminal/printable.ts';
import { describeHolder, unhex } from '../../lib/lock/holder.ts';
import { boundedFields } from '../../lib/log.ts';
import { newReport } from '../../lib/report.ts';
import { collectShards, fittedResult, fittedStatus } from '../../lib/run/answer.ts';
import type { Result } from '../../lib/run/result.ts';
import { lockedBy, reasonToSkip } from '../../lib/run/skip.ts';
import type { Status } from '../../lib/run/status.ts';
import { placesOf } from '../../lib/state/places.ts';
import { currentState } from '../../lib/state/state.ts';
import { fuzz, json, like, mostly, rightTimes, text, time, worksOrThrows } from './fuzz.ts';

const places = placesOf({ lockKey: '/lock', statePrefix: '/state/', shards: 2 }, { index: 0, of: 2 });
const query = currentState(places, { underLock: true, backfillId: 'backfill-1' });

const count = mostly(fc.nat());
const rightTime = mostly(rightTimes);
const report = like(Object.fromEntries(Object.keys(newReport()).map((name) => [name, count])));
const run = like({
  ...{
    runId: text,
    kind: text,
    status: mostly(fc.constantFrom('completed', 'partial', 'failed')),
    startedAt: rightTime,
  },
  ...{ endedAt: rightTime, fencingToken: text, report, error: like({ name: text, code: text, message: text }) },
});
const pastRun = like({
  ...{
    runId: text,
    kind: mostly(fc.constantFrom('tick', 'backfill')),
    startedAt: rightTime,
    endedAt: rightTime,
    report,
  },
  ...{ status: mostly(fc.constantFrom('completed', 'partial', 'failed')), fencingToken: text },
  ...{ reason: text, message: text, scheduledTime: rightTime, skipsBefore: count, host: text, startedBy: text },
});
const pass = like({
  ...{
    runId: text,
    startedAt: rightTime,
    full: fc.boolean(),
    fingerprint: text,
    since: rightTime,
    cursor: fc.option(text),
  },
  ...{ counts: report, newest: rightTime, holdBack: rightTime },
});
const failed = mostly(fc.array(like({ id: text, attempts: count })));
/** What the keys of the state hold, in the order in which they are read. */
const states = [
  like({ runId: text, at: rightTime, scheduledTime: rightTime }),
  like({ last: run, completedScheduledTime: rightTime, completedStartedAt: rightTime }),
  like({ pass, failed, deadLettered: mostly(fc.array(text)) }),
  like({ at: rightTime, fullAt: rightTime }),
  like({ last: run }),
  like({ withheld: count, of: count, at: rightTime, approvedUpTo: count }),
  like({ since: rightTime, note: text }),
  like({ shards: mostly(fc.integer({ min: 1, max: 3 })), generation: count, earlier: mostly(fc.constant([])) }),
  like({ runId: text, at: rightTime }),
  like({ at: rightTime, versions: text }),
  like({ runs: mostly(fc.array(pastRun, { maxLength: 3 })), skips: count }),
  like({ pass, failed }),
];
const bytesOf = (state: fc.Arbitrary<unknown>) =>
  fc.oneof(
    { weight: 20, arbitrary: state.map((part) => Buffer.from(JSON.stringify(part))) },
    { weight: 1, arbitrary: fc.uint8Array().map((bytes) => Buffer.from(bytes)) },
    { weight: 1, arbitrary: text.map((part) => Buffer.from(part)) },
  );
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);

const keyValueOf = (state: fc.Arbitrary<unknown>) =>
  fc.record({
    ...{ key: fc.oneof(text, fc.constant('/lock/1')).map((part) => Buffer.from(part)), value: bytesOf(state) },
    ...{ lease: int64, create_revision: int64, mod_revision: int64, version: fc.nat().map(String) },
  });
const keyValue = keyValueOf(like({ runId: text, kind: text, startedAt: time, host: text, requestId: json }));

/** An answer to each read of the state; most keys are absent, because a single wrong one is an error. */
const locks = query.operations.length - states.length;
const answers = fc
  .tuple(
    fc.array(fc.option(keyValue, { freq: 1 }), { minLength: locks, maxLength: locks }),
    fc.tuple(...states.map((state) => fc.oneof(fc.constant(null), fc.constant(null), keyValueOf(state)))),
  )
  .map(([first, rest]) => [...first, ...rest]);

fuzz(
  'Whatever etcd holds, it is a state or a StateError that names the key, and then a skip or none.',
  fc.tuple(answers, fc.boolean(), time),
  async ([found, more]) => {
    const responses = found.map((kv) => ({
      response_range: { kvs: kv ? [kv] : [], more, count: kv ? '20000' : '0' },
    })) as unknown as Parameters<typeof query.decode>[0];
    const decoded = await worksOrThrows(['StateError'], () => query.decode(responses));
    if (!decoded) return;
    const settings = { shards: 2, startingDeadlineSeconds: 60, minIntervalSeconds: 60 };
    const tick = { kind: 'tick', scheduledTime: '2026-01-01T00:00:00.000Z', shard: { index: 0, of: 2 } } as const;
    const skip = reasonToSkip(tick, decoded, settings, Date.now());
    if (skip) checkAnswer({ status: 'skipped', job: 'models', runId: 'run-1', ...skip, report: newReport() });
    const { run, backfill, checkpoint } = decoded;
    const status = {
      ...{ job: 'models', stage: 'test', lockKey: '/lock', paused: false, consecutiveSkips: 0 },
      ...{ failed: checkpoint?.failed ?? [], failedCount: checkpoint?.failed.length },
      ...{ history: decoded.history?.runs ?? [], backfills: [] },
      ...(run && { lastRun: run.last }),
      ...(backfill && { lastBackfill: backfill.last }),
      ...(checkpoint?.pass && { unfinishedPass: checkpoint.pass }),
    } as Status;
    const shards = collectShards();
    for (let index = 0; index < 64; index++) shards.add(status, { index, of: 64 });
    const fitted = fittedStatus({ ...status, failed: shards.failed, history: shards.history, shards: shards.parts });
    assert.ok(Buffer.byteLength(JSON.stringify(fitted)) <= 1_000_000);
    for (const line of describeStatus(fitted)) assert.equal(typeof line, 'string');
  },
);

function checkAnswer(result: Result) {
  assert.ok(Buffer.byteLength(JSON.stringify(fittedResult(result))) <= 1_000_000);
}

fuzz(
  'Whatever lies under the lock has a key, a lease that can be asked for, and says who it is or not.',
  keyValue,
  (kv) => {
    const holder = describeHolder(kv, 7);
    assert.equal(unhex(holder.leaseId), kv.lease);
    const { key: _, ...rest } = holder;
    assert.ok(Buffer.byteLength(JSON.stringify(rest)) < 8000);
    const { message } = lockedBy(holder, Date.now());
    assert.match(message, /^the lock is held by /);
    checkAnswer({ status: 'skipped', job: 'models', runId: 'run-1', message, heldBy: holder, report: newReport() });
  },
);

const ours = like({
  ...{ level: mostly(fc.constant('INFO')), message: text, timestamp: time, error: like({ name: text, message: text }) },
  ...{ heldBy: json, _aws: like({ Timestamp: mostly(fc.integer()) }), note: text },
});

fuzz(
  'Every line of a function is one printable line.',
  fc.oneof(
    ours.map((value) => JSON.stringify(value)),
    text,
  ),
  (line) => {
    const shown = readable('sync', line);
    assert.equal(shown, printable(shown));
  },
);

fuzz(
  'Every line of the log is JSON within its bound.',
  fc.oneof(ours, fc.object({ maxKeys: 50 }), fc.array(json, { maxLength: 500 })),
  (fields) => {
    const line = JSON.stringify({ level: 'INFO', message: 'said', fields }, boundedFields());
    assert.ok(line.length < 256_000, `${line.length}`);
    assert.equal(JSON.parse(line).message, 'said');
  },
);
