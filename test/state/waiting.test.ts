import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idHash } from '../../lib/state/recent.ts';
import { MAX_WAITING, packWaiting, unpackWaiting } from '../../lib/state/waiting.ts';

test('The ids that wait are unpacked as they were packed, and as many as are kept fit into a request to etcd.', () => {
  const ids = Array.from({ length: MAX_WAITING }, (_, index) => idHash(`id ${index}`));
  const packed = packWaiting(ids);
  assert.deepEqual([...unpackWaiting(packed)], ids);
  assert.ok(packed.length < 150_000);
});

test('What was not packed so waits for nothing.', () => {
  for (const packed of [undefined, '', 'no ids', '!']) assert.equal(unpackWaiting(packed).size, 0);
});
