import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openBatches } from '../../lib/engine/batches.ts';

interface Item {
  id: string;
  bytes?: number;
  alone?: boolean;
}

const open = ({ max, maxBytes }: { max?: number; maxBytes?: number }) =>
  openBatches<Item, Item>(
    { max, ...(maxBytes !== undefined && { maxBytes: () => maxBytes }) },
    ({ alone }) => alone === true,
  );

/** The ids of what is ready, a list for each batch. */
const told = (ready: (Item | Item[])[]) =>
  ready.map((one) => (Array.isArray(one) ? one.map(({ id }) => id) : `${one.id} alone`));

const items = (ids: string) => [...ids].map((id) => ({ id }));

test('A batch is ready as soon as it has as many records as it may have, and not before.', () => {
  const batches = open({ max: 3 });
  assert.deepEqual(told(batches.put(items('ab'))), []);
  assert.equal(batches.isEmpty(), false);
  assert.deepEqual(told(batches.put(items('cdefgh'))), [
    ['a', 'b', 'c'],
    ['d', 'e', 'f'],
  ]);
  assert.deepEqual(told(batches.close()), [['g', 'h']]);
  assert.equal(batches.isEmpty(), true);
  assert.deepEqual(batches.close(), []);
  assert.deepEqual(told(batches.put(items('abc'))), [['a', 'b', 'c']]);
  assert.equal(batches.isEmpty(), true);
});

test('A batch has as many bytes as it may have, and a record that is too large for any goes on its own.', () => {
  const batches = open({ max: 100, maxBytes: 10 });
  const sized = (id: string, bytes: number) => ({ id, bytes });
  assert.deepEqual(told(batches.put([sized('a', 4), sized('b', 6), sized('c', 1)])), [['a', 'b']]);
  assert.deepEqual(told(batches.put([sized('d', 11), sized('e', 1)])), [['c'], ['d']]);
  assert.deepEqual(told(batches.put([{ id: 'f' }, sized('g', 9), sized('h', 1)])), [['e', 'f', 'g']]);
  assert.deepEqual(told(batches.close()), [['h']]);
});

test('Two records of one id are never in one batch, nor does one that goes alone overtake an earlier one of its id.', () => {
  const batches = open({ max: 10 });
  assert.deepEqual(told(batches.put(items('abab'))), [['a', 'b']]);
  assert.deepEqual(told(batches.put([{ id: 'b', alone: true }, ...items('bc')])), [['a', 'b'], 'b alone']);
  assert.deepEqual(told(batches.put([{ id: 'z', alone: true }, { id: 'z' }])), ['z alone']);
  assert.deepEqual(told(batches.close()), [['b', 'c', 'z']]);
});

test('Without bounds a batch has one record.', () => {
  assert.deepEqual(told(open({}).put(items('abc'))), [['a'], ['b'], ['c']]);
});

test('However records come, each goes once, in the order of its id, and in batches within their bounds that are no smaller than need be.', () => {
  const record = fc.record({ id: fc.constantFrom(...'abcdefgh'), bytes: fc.nat(9), alone: fc.boolean() });
  const bounds = fc.record({ max: fc.integer({ min: 1, max: 6 }), maxBytes: fc.integer({ min: 3, max: 30 }) });
  fc.assert(
    fc.property(fc.array(fc.array(record, { maxLength: 9 }), { maxLength: 9 }), bounds, (puts, { max, maxBytes }) => {
      const list = puts.flat().map((one, index) => ({ ...one, index }));
      const batches = openBatches<(typeof list)[number], (typeof list)[number]>(
        { max, maxBytes: () => maxBytes },
        ({ alone }) => alone,
      );
      const ready: ((typeof list)[number] | typeof list)[] = [];
      for (let from = 0, at = 0; at < puts.length; from += puts[at++]!.length) {
        ready.push(...batches.put(list.slice(from, from + puts[at]!.length)));
      }
      ready.push(...batches.close());
      const order = ready.flat();
      assert.deepEqual(
        order.map(({ index }) => index).sort((a, b) => a - b),
        [...list.keys()],
      );
      for (const id of 'abcdefgh') {
        const indexes = order.filter((one) => one.id === id).map(({ index }) => index);
        assert.deepEqual(
          indexes,
          [...indexes].sort((a, b) => a - b),
          id,
        );
      }
      const inBatches = ready.filter((one) => Array.isArray(one));
      const bytesOf = (batch: typeof list) => batch.reduce((sum, { bytes }) => sum + bytes, 0);
      for (const [number, batch] of inBatches.entries()) {
        assert.equal(new Set(batch.map(({ id }) => id)).size, batch.length);
        assert.ok(
          batch.length <= max && (bytesOf(batch) <= maxBytes || batch.filter(({ bytes }) => bytes > 0).length === 1),
        );
        const next = inBatches[number + 1]?.[0];
        const until = next?.index ?? list.length;
        const last = batch.at(-1)!;
        const between = list.slice(last.index + 1, until + 1).some(({ id }) => batch.some((one) => one.id === id));
        const isFull = batch.length === max || (next && bytesOf([...batch, next]) > maxBytes);
        assert.ok(isFull || between || !next, 'a batch was closed for no reason');
      }
    }),
    { numRuns: 500 },
  );
});
