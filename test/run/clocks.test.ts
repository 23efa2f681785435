import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { newReport } from '../../lib/report.ts';
import type { Pass } from '../../lib/state/schemas.ts';
import { watermarkAfter, windowOfTick } from '../../lib/state/watermark.ts';
import { model, startWorld } from '../support/world.ts';

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const TODAY = '2026-11-29T12:00:00.000Z';
const pass: Pass = {
  ...{ runId: 'r', startedAt: TODAY, full: false, fingerprint: 'f', cursor: null, counts: newReport() },
};

test('The watermark passes neither the newest change, nor the clock of the source, nor our own.', () => {
  const after = (times: Partial<Pass>) => watermarkAfter({ ...pass, ...times }, 60);
  assert.equal(after({ newest: '2099-01-01T00:00:00.000Z' }), '2026-11-29T11:59:00.000Z');
  assert.equal(
    after({ newest: '2099-01-01T00:00:00.000Z', sourceClock: '2099-01-01T00:00:00.000Z' }),
    '2026-11-29T11:59:00.000Z',
  );
  assert.equal(after({ newest: TODAY, sourceClock: '2026-11-29T11:00:00.000Z' }), '2026-11-29T10:59:00.000Z');
  assert.equal(after({ newest: '2026-01-01T00:01:00.000Z', sourceClock: TODAY }), '2026-01-01T00:00:00.000Z');
});

test('A watermark in the future is not believed, and neither is a full pass in the future.', () => {
  const options = { incremental: true, initialSince: undefined, fullEveryHours: 24, nowMs: Date.parse(TODAY) };
  const everything = { since: undefined, full: true };
  const yesterday = '2026-11-28T13:00:00.000Z';
  assert.deepEqual(windowOfTick({ at: '9999-01-01T00:00:00.000Z', fullAt: yesterday }, options), everything);
  assert.deepEqual(windowOfTick({ at: TODAY, fullAt: '9999-01-01T00:00:00.000Z' }, options), everything);
  assert.deepEqual(windowOfTick({ at: TODAY, fullAt: yesterday }, options), { since: TODAY, full: false });
});

test('A watermark of the year 9999 in etcd stops no tick, is told, and is gone after one.', async () => {
  const records = [model(1), model(2)];
  await using world = await startWorld({ endpoints: etcd.endpoints, records });
  const key = `${world.prefix}/state/watermark`;
  await etcd.etcdctl(['put', key, JSON.stringify({ at: '9999-01-01T00:00:00.000Z', fullAt: TODAY })]);
  assert.equal((await world.tick()).report.written, 2);
  assert.ok(
    world.lines.some(({ level, message }) => level === 'warn' && /watermark 9999.* in the future/.test(message)),
  );
  const { watermark } = await world.control({ action: 'status' });
  assert.ok(watermark && watermark.at < new Date().toISOString());
});
