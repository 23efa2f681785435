import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDivision } from '../../lib/state/division.ts';
import { placesOf } from '../../lib/state/places.ts';
import type { State } from '../../lib/state/state.ts';

type Known = NonNullable<State['division']>;

/** What a run finds that belongs to a job in `shards`, after a division and with a generation whose scopes are closed. */
function open(shards: number, division?: Known, closedGeneration?: number) {
  const places = placesOf({ lockKey: '/lock', statePrefix: '/state/', shards }, { index: 0, of: shards });
  const run = { closedGeneration } as NonNullable<State['run']>;
  const opened = openDivision(places, { ...(division && { division }), ...(closedGeneration && { run }) });
  const { put } = opened;
  return { ...opened, stored: put && [String(put.request_put.key), JSON.parse(String(put.request_put.value))] };
}

test('A job’s first run stores how it is divided, and finds no old scope.', () => {
  const { stored, openScopes, closedGeneration } = open(2);
  assert.deepEqual(stored, ['/state/division', { shards: 2, generation: 0, earlier: [] }]);
  assert.deepEqual(openScopes, []);
  assert.equal(closedGeneration(), undefined);
});

test('A change of the number of shards is a new generation, stored for the whole job, and opens the scopes before it.', () => {
  const first = open(2, { shards: 1, generation: 0, earlier: [] });
  assert.deepEqual(first.stored, ['/state/division', { shards: 2, generation: 1, earlier: [1] }]);
  assert.deepEqual(first.openScopes, ['/lock']);
  const second = open(3, { shards: 2, generation: 1, earlier: [1] }, 1);
  assert.deepEqual(second.stored, ['/state/division', { shards: 3, generation: 2, earlier: [2, 1] }]);
  assert.deepEqual(second.openScopes, ['/lock.shards/0-of-2', '/lock.shards/1-of-2', '/lock']);
});

test('Back at an earlier number, its own scope is none of the old ones, and those since are.', () => {
  const { stored, openScopes } = open(1, { shards: 2, generation: 3, earlier: [1] }, 2);
  assert.deepEqual(stored?.[1], { shards: 1, generation: 4, earlier: [2] });
  assert.deepEqual(openScopes, ['/lock.shards/0-of-2', '/lock.shards/1-of-2']);
});

test('Once closed, the scopes stay closed for this lock until the number changes again.', () => {
  const division = { shards: 2, generation: 1, earlier: [1] };
  const run = open(2, division);
  assert.equal(run.stored, undefined);
  assert.deepEqual(run.openScopes, ['/lock']);
  assert.equal(run.closedGeneration(), undefined);
  run.closed();
  assert.equal(run.closedGeneration(), 1);
  assert.deepEqual(open(2, division, 1).openScopes, []);
});

test('At most four earlier numbers of shards are remembered.', () => {
  const { stored } = open(6, { shards: 5, generation: 4, earlier: [4, 3, 2, 1] });
  assert.deepEqual(stored?.[1], { shards: 6, generation: 5, earlier: [5, 4, 3, 2] });
});
