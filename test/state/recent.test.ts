import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idHash, packRecent, type RecentVersion, unpackRecent } from '../../lib/state/recent.ts';

const version = (updatedAtMs: number): RecentVersion => ({ updatedAtMs, content: '0123456789abcdef' });
const packed = (...times: number[]) => packRecent(new Map(times.map((ms, index) => [idHash(`${index}`), version(ms)])));

test('The newest of the versions is known, wherever it stands.', () => {
  for (const times of [[3000], [3000, 1000, 2000], [1000, 3000, 2000], [1000, 2000, 3000]])
    assert.equal(unpackRecent(packed(...times)).newestMs, 3000);
  assert.equal(unpackRecent(packed()).newestMs, Number.NEGATIVE_INFINITY);
});

test('Every time that a past change may have survives, from the year 0 on.', () => {
  for (const time of [
    '0000-01-01T00:00:00Z',
    '1969-12-31T23:59:59.999Z',
    '1970-01-01T00:00:00Z',
    '2999-12-31T23:59:59.999Z',
  ]) {
    const versions = new Map([[idHash('a'), version(Date.parse(time))]]);
    assert.deepEqual(unpackRecent(packRecent(versions)), { versions, newestMs: Date.parse(time) });
  }
});

test('A list that was cut short is none, so that no half of an entry is taken for a version.', () => {
  const whole = Buffer.from(packed(1000, 2000), 'base64');
  for (const bytes of [43, 23, 21, 1]) {
    const { versions, newestMs } = unpackRecent(whole.subarray(0, bytes).toString('base64'));
    assert.deepEqual([versions.size, newestMs], [0, Number.NEGATIVE_INFINITY]);
  }
});

test('Ids are told apart by 16 hex digits of their hash, and a version takes 22 bytes.', () => {
  assert.match(idHash('a'), /^[0-9a-f]{16}$/);
  assert.notEqual(idHash('a'), idHash('b'));
  assert.equal(Buffer.from(packed(1, 2, 3), 'base64').length, 66);
});
