import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Held, openHeld } from '../../lib/write/held.ts';

/** The same by a plain map, which keeps everything. */
function plainHeld(): Held {
  const records = new Map<string, { body: string; seen: boolean; differs: boolean }>();
  /** Not held, and to be written. */
  const written = new Set<string>();
  const textOf = (body: unknown) => JSON.stringify(body);
  const vanished = () => [...records].filter(([, { seen }]) => !seen).map(([id]) => id);
  return {
    add(id, body) {
      const known = records.get(id);
      if (known) known.differs ||= known.body !== textOf(body);
      else if (!written.has(id)) records.set(id, { body: textOf(body), seen: false, differs: false });
    },
    isSame(id, body) {
      const known = records.get(id);
      if (!known) written.add(id);
      if (!known) return false;
      known.differs ||= known.body !== textOf(body);
      known.seen = true;
      return !known.differs;
    },
    seen(id) {
      const known = records.get(id);
      if (known) Object.assign(known, { seen: true, differs: true });
    },
    holds: (id) => records.has(id) || written.has(id),
    size: () => records.size,
    vanished: () => vanished().length,
    vanishedIds: () => vanished().map((id) => hash('sha256', id).slice(0, 16)),
    hasVanished: (id) => vanished().includes(id),
  };
}

/** Ids of one table whose slots are the last ones of it, as long as it has fewer than 128: they go on at its first slot. */
const COLLIDING = Array.from({ length: 200_000 }, (_, index) => `id ${index}`).filter((id) => {
  const digest = hash('sha256', id, 'buffer');
  return digest.readUInt32BE(0) < 2 ** 26 && digest.readUInt32BE(4) >= 2 ** 32 - 2 ** 25;
});

test('Whatever is asked in whatever order, the answers are those of a plain map, also where ids fall into the same slots.', () => {
  assert.ok(COLLIDING.length > 20, String(COLLIDING.length));
  const id = fc.oneof(fc.constantFrom(...COLLIDING), fc.string({ unit: 'binary', maxLength: 2 }));
  const body = fc.constantFrom<unknown>(1, { a: 1 }, { a: 2 }, [], null);
  const step = fc.tuple(fc.constantFrom('add', 'add', 'isSame', 'isSame', 'seen', 'holds', 'hasVanished'), id, body);
  fc.assert(
    fc.property(fc.array(step, { size: '+2', maxLength: 300 }), (steps) => {
      const [held, plain] = [openHeld(), plainHeld()];
      for (const [name, id, body] of steps as [keyof Held, string, unknown][]) {
        const ask = (of: Held) => (of[name] as (id: string, body?: unknown) => unknown)(id, body);
        assert.equal(ask(held), ask(plain), `${name} of ${id}`);
        assert.deepEqual([held.size(), held.vanished()], [plain.size(), plain.vanished()]);
      }
      assert.deepEqual([...held.vanishedIds()].sort(), [...plain.vanishedIds()].sort());
    }),
    { numRuns: 300 },
  );
});

test('However many records it grows to, it knows each of them, what the source has brought of them, and no other.', () => {
  const held = openHeld();
  const count = 30_000;
  for (let index = 0; index < count; index++) {
    held.add(`${index}`, { index });
    if (index % 3 === 0) assert.equal(held.isSame(`${index}`, { index }), true);
    if (index % 3 === 1) assert.equal(held.isSame(`${index}`, { index: -1 }), false);
  }
  assert.deepEqual([held.size(), held.vanished()], [count, count / 3]);
  for (let index = 0; index < count; index++) {
    assert.equal(held.hasVanished(`${index}`), index % 3 === 2);
    assert.equal(held.isSame(`${index}`, { index }), index % 3 !== 1);
    assert.equal(held.holds(`new ${index}`) || held.isSame(`new ${index}`, { index }), false);
  }
  assert.deepEqual([held.size(), held.vanished()], [count, 0]);
});

test('A record that goes A, B, A is the same only before B.', () => {
  const held = openHeld();
  held.add('a', { n: 1 });
  const answers = [1, 1, 2, 1, 1].map((n) => held.isSame('a', { n }));
  assert.deepEqual(answers, [true, true, false, false, false]);
});

test('After a tombstone or an invalid version of it, a record is never the same, and has not vanished.', () => {
  const held = openHeld();
  held.add('a', 1);
  held.seen('a');
  held.seen('unknown');
  assert.deepEqual([held.isSame('a', 1), held.vanished(), held.size()], [false, 0, 1]);
});

test('A record that the target lists twice with two bodies is written, and one with the same body is not.', () => {
  const held = openHeld();
  for (const [id, body] of [...'aabb'].map((id, index) => [id, id === 'a' ? index : 0] as const)) held.add(id, body);
  assert.deepEqual([held.isSame('a', 0), held.isSame('b', 0), held.size()], [false, true, 2]);
});

test('The order of the keys makes no difference, and what is no JSON is never the same.', () => {
  const held = openHeld();
  held.add('a', { x: 1, y: { z: 1, w: 2 } });
  assert.equal(held.isSame('a', { y: { w: 2, z: 1 }, x: 1 }), true);
  assert.equal(held.isSame('a', { x: 1n }), false);
  assert.throws(() => held.add('b', 1n), TypeError);
  assert.deepEqual([held.holds('b'), held.size()], [false, 1]);
});

test('Bodies and ids are told apart by each of the two words that are kept of their hashes.', () => {
  // In the first pair the first words are the same, in the second pair the second ones, in the third all but a byte of each.
  for (const [body, other] of [
    [69235, 95303],
    [53272, 58328],
    [23469270, 30064142],
  ]) {
    const held = openHeld();
    held.add('a', body);
    assert.equal(held.isSame('a', other), false);
  }
  // The same, within one table and one slot.
  for (const [id, other] of [
    ['63964', '393644'],
    ['14032', '121982'],
  ] as const) {
    const held = openHeld();
    held.add(id, 1);
    assert.deepEqual([held.holds(other), held.holds(id)], [false, true]);
  }
});
