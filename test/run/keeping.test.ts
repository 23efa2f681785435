import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Backfill } from '../../lib/backfill-event.ts';
import type { Tick } from '../../lib/event.ts';
import type { Budget } from '../../lib/lock/etcd.ts';
import { newReport } from '../../lib/report.ts';
import { openKeeping } from '../../lib/run/keeping.ts';
import { leavingOf } from '../../lib/run/leaving.ts';
import { readSettings } from '../../lib/settings/config.ts';
import { placesOf } from '../../lib/state/places.ts';
import { idHash, MAX_RECENT, packRecent } from '../../lib/state/recent.ts';
import type { State } from '../../lib/state/state.ts';
import { job } from '../support/job.ts';
import { record } from '../support/pipeline.ts';
import { recordedLog } from '../support/recorded-log.ts';

const settings = readSettings(
  {
    ...{ STAGE: 'test', SECRET_ID: 'test', SOURCE_URL: 'http://source', TARGET_URL: 'http://target' },
    ...{ TARGET_REGION_ID: 'eu', ETCD_ENDPOINTS: 'http://etcd:2379', LOCK_TTL_SECONDS: '20' },
  },
  job,
);

/** The run begins at noon. */
const startedMs = Date.parse('2026-01-05T12:00:00.000Z');

interface Options {
  kind?: 'tick' | 'backfill';
  more?: Partial<State>;
}

/** What a tick keeps that has just taken the lock, and what it saves. */
function open(failed: { id: string; attempts: number }[] = [], options: Options = {}) {
  const { kind = 'tick', more = {} } = options;
  const request: Tick | Backfill = kind === 'tick' ? { kind } : { kind, waitSeconds: 0, dryRun: false };
  const lost = new AbortController();
  const cut = new AbortController();
  const put: Record<string, unknown> = {};
  const saved: { value: unknown; budget: Budget }[] = [];
  const report = newReport();
  const state: State = { consecutiveSkips: 0, checkpoint: { failed, deadLettered: [] }, ...more };
  const taken = {
    session: { signal: lost.signal, budget: () => ({ attemptMs: 2000, totalMs: 16_000, signal: lost.signal }) },
    lock: {
      fencingToken: '7',
      async save([put]: { request_put: { value: Buffer } }[], budget: Budget) {
        saved.push({ value: JSON.parse(String(put?.request_put.value)), budget });
      },
      async unlock(operations: { request_put?: { key: Buffer; value: Buffer } }[]) {
        for (const { request_put } of operations)
          if (request_put) put[String(request_put.key)] = JSON.parse(String(request_put.value));
      },
    },
    state,
  } as never;
  const { log, lines } = recordedLog();
  const running = { request, runId: 'run-1', settings, places: placesOf(settings), taken };
  const keeping = openKeeping({
    ...{ job, startedMs, ...running },
    ...{ deadline: { cut: cut.signal, endsInMs: () => 60_000 } as never, report, log },
    leavingOf: (pass) => leavingOf(running, pass),
  });
  const saveOnce = async () => {
    const page = {
      ...{ read: 0, written: 0, unchanged: 0, removed: 0, invalid: 0, failed: 0, missing: 0 },
      ...{ newestMs: 0, oldestMs: 0, ordered: true, rises: 1, cursor: 'c', last: false },
    };
    for (let pages = 0; pages < 4; pages++) keeping.checkpoints.pageSettled(page);
    await keeping.checkpoints.saved();
    return saved.at(-1)!;
  };
  return { ...{ keeping, lost, cut, report, saveOnce, lines, put } };
}

test('A save may take a full TTL, but ends with the lease, so that it does not outlive the lock.', async () => {
  const { lost, saveOnce } = open();
  const { budget } = await saveOnce();
  assert.deepEqual([budget.attemptMs, budget.totalMs, budget.signal?.aborted], [2000, 20_000, false]);
  const reason = new Error('the lease is lost');
  lost.abort(reason);
  assert.equal(budget.signal?.reason, reason);
});

test('A save ends at the cut as well, so that the unlock gets what is left of the time.', async () => {
  const { keeping, cut, saveOnce } = open();
  const { budget } = await saveOnce();
  const reason = new Error('half the reserve is used up');
  cut.abort(reason);
  assert.deepEqual([budget.signal?.reason, keeping.saving().signal?.reason], [reason, reason]);
});

test('A failed write is saved as an attempt only once the target has taken a record in this run.', async () => {
  const { keeping, report, saveOnce } = open([{ id: 'a', attempts: 3 }]);
  keeping.outcomes.failed('a', 'no answer', record('a'), false);
  keeping.outcomes.failed('b', 'no answer', record('b'), false);
  const failed = async () => ((await saveOnce()).value as { failed: unknown }).failed;
  assert.deepEqual(await failed(), [
    { id: 'a', attempts: 3, reason: 'no answer' },
    { id: 'b', attempts: 0, reason: 'no answer' },
  ]);
  report.written = 1;
  assert.deepEqual(await failed(), [
    { id: 'a', attempts: 4, reason: 'no answer' },
    { id: 'b', attempts: 1, reason: 'no answer' },
  ]);
});

const at = '2026-01-05T11:00:00.000Z';
const content = '0123456789abcdef';
const versions = packRecent(new Map([[idHash('a'), { updatedAtMs: Date.parse(at), content }]]));
const accepted = (id: string, updatedAt = at) => ({
  ...{ id, record: record(id), content: () => content, updatedAtMs: Date.parse(updatedAt), as: 'written' as const },
});

test('A tick knows the versions that the last completed tick has left with the watermark of today, and no others.', () => {
  const watermark = { at, fullAt: at };
  const knows = (kind: 'tick' | 'backfill', more: Partial<State>) =>
    open([], { kind, more }).keeping.versions.isKnown(accepted('a'));
  assert.equal(knows('tick', { watermark, recent: { at, versions } }), true);
  assert.equal(knows('tick', { watermark, recent: { at: '2026-01-05T10:59:59.000Z', versions } }), false);
  assert.equal(knows('tick', { watermark }), false);
  assert.equal(knows('backfill', { watermark, recent: { at, versions } }), false);
});

test('A full pass writes again what the last one has left.', () => {
  // A reset has deleted the watermark.
  const recent = { at, versions };
  assert.equal(open([], { more: { recent } }).keeping.versions.isKnown(accepted('a')), false);
  const ahead = '2026-01-05T12:00:00.001Z';
  const future = { watermark: { at: ahead, fullAt: at }, recent: { at: ahead, versions } };
  assert.equal(open([], { more: future }).keeping.versions.isKnown(accepted('a')), false);
});

test('A completed tick leaves what it has found at the target within the overlap of its watermark.', async () => {
  const { keeping, put, lines } = open([], { more: { watermark: { at, fullAt: at } } });
  keeping.versions.written(accepted('a'));
  await keeping.conclude('completed');
  const { statePrefix } = placesOf(settings);
  assert.deepEqual(put[`${statePrefix}recent`], { at, versions });
  assert.ok(!lines.some(({ message }) => /write them again/.test(message)));
});

test('A completed tick that has found too many leaves none, and the log says so at the first of such ticks.', async () => {
  const watermark = { at, fullAt: at };
  const key = `${placesOf(settings).statePrefix}recent`;
  async function warned(more: Partial<State>) {
    const { keeping, put, lines } = open([], { more });
    for (let index = 0; index <= MAX_RECENT; index++) keeping.versions.written(accepted(`${index}`));
    await keeping.conclude('completed');
    assert.deepEqual(put[key], { at, versions: '', tooMany: true });
    return lines.filter(({ message }) => /the next ticks write them again/.test(message)).length;
  }
  assert.equal(await warned({ watermark }), 1);
  assert.equal(await warned({ watermark, recent: { at, versions: '', tooMany: true } }), 0);
  assert.equal(await warned({ watermark, recent: { at, versions } }), 1);
});
