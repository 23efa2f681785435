import assert from 'node:assert/strict';
import { test } from 'node:test';
import { otherDivision } from '../../lib/state/other-division.ts';
import { placesOf } from '../../lib/state/places.ts';

const places = (shards: number) => placesOf({ lockKey: '/lock', statePrefix: '/state/', shards });

const found = (key: string) => ({
  ...{ key: Buffer.from(key), value: Buffer.from('') },
  lease: '31',
  create_revision: '7',
});

/** The answer to one range that holds `count` keys, of which etcd gives these. */
const range = (keys: string[], count = keys.length) => ({
  response_range: { kvs: keys.map(found), more: count > keys.length, count: String(count) },
});

const decode = (shards: number, ...answers: unknown[]) => otherDivision(places(shards)).decode(answers as never);

test('The first lock of another division is found in whichever range it lies, with the number of keys that lie there.', () => {
  const holder = { key: '/lock.shards/0-of-3/1f', leaseId: '1f', createRevision: '7' };
  assert.deepEqual(decode(2, range([]), range([]), range([holder.key]), range([])), holder);
  const two = decode(2, range(['/lock/1f', holder.key]), range(['/lock/2f']));
  assert.deepEqual([two?.key, two?.waiting], ['/lock/1f', 1]);
});

test('Where no key is, or only what is no lock, no other division is held.', () => {
  assert.equal(decode(2, range([]), range([])), undefined);
  assert.equal(decode(2, range(['/lock.shards/a', '/lock.shards/b'])), undefined);
});

test('A lock behind keys that are none is found, and where more keys follow unread one of them may be a lock.', () => {
  assert.equal(decode(1, range(['/lock.shards/a', '/lock.shards/0-of-2/1f']))?.key, '/lock.shards/0-of-2/1f');
  assert.equal(decode(1, range(['/lock.shards/a', '/lock.shards/0-of-2/1f'], 9))?.key, '/lock.shards/0-of-2/1f');
  const unread = decode(1, range(['/lock.shards/a', '/lock.shards/b'], 11));
  assert.deepEqual([unread?.key, unread?.waiting], ['/lock.shards/a', 10]);
});

test('Every range is read with a limit, and etcd gets at most a hundred of them in one transaction, without a loss.', () => {
  for (const shards of [1, 2, 98, 99, 250, 1000]) {
    const ranges = shards === 1 ? 1 : shards + 2;
    const { operations } = otherDivision(places(shards));
    const parts = operations.map(({ request_txn }) => request_txn?.success);
    assert.equal(
      parts.every((part) => part !== undefined),
      ranges > 100,
      `${shards} shards`,
    );
    assert.ok(parts.every((part) => (part?.length ?? 0) <= 100) && operations.length <= 100);
    const reads = operations.flatMap((operation) => operation.request_txn?.success ?? [operation]);
    assert.equal(new Set(reads.map(({ request_range }) => String(request_range?.key))).size, ranges);
    assert.ok(reads.every(({ request_range }) => request_range?.limit === 10 && request_range.keys_only));
  }
});

test('The answers of nested transactions are looked at like those of one.', () => {
  const nested = (...responses: unknown[]) => ({ response_txn: { responses } });
  assert.equal(decode(250, nested(range([]), range([])), nested(range([]))), undefined);
  assert.equal(decode(250, nested(range([])), nested(range([]), range(['/lock/1f'])))?.key, '/lock/1f');
});
