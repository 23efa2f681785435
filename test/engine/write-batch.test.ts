import assert from 'node:assert/strict';
import { before, mock, test } from 'node:test';
import fc from 'fast-check';
import { writeBatch } from '../../lib/engine/write-batch.ts';
import { Interrupted, TargetError } from '../../lib/errors.ts';

// Pauses before another attempt are drawn; here they are none.
before(() => mock.method(Math, 'random', () => 0));

const refusal = (status = 422) => new TargetError(`the target answered ${status}`, { status, refused: true });
const again = () => new TargetError('the record is to be sent again', { status: 200 });

/** Writes `batch` by `answer`, which gives what became of the records or throws. */
async function play<T>(
  batch: T[],
  answer: (records: T[], request: number) => (TargetError | undefined)[] | Error,
  options: { halves?: (error: TargetError) => boolean; signal?: AbortSignal } = {},
) {
  const requests: T[][] = [];
  const settled: [T, string | undefined][] = [];
  const writing = writeBatch(batch, {
    async write(records) {
      requests.push(records);
      const answered = answer(records, requests.length);
      if (answered instanceof Error) throw answered;
      return answered;
    },
    settled: (record, error) => settled.push([record, error?.message]),
    halves: options.halves ?? (() => true),
    signal: options.signal ?? new AbortController().signal,
  });
  const error = await writing.then(
    () => undefined,
    (thrown) => thrown,
  );
  return { requests, settled, error };
}

const written = (records: unknown[]) => records.map(() => undefined);

test('A batch that is taken is one request.', async () => {
  const { requests, settled, error } = await play([...'abc'], written);
  assert.deepEqual([requests, error], [[[...'abc']], undefined]);
  assert.deepEqual(
    settled,
    [...'abc'].map((id) => [id, undefined]),
  );
});

test('Each request is told how often the target has answered that it wants to see its records again.', async () => {
  const told: [string, number][] = [];
  await writeBatch([...'abcd'], {
    async write(records, answered) {
      told.push([records.join(''), answered]);
      if (records.length === 4) throw new TargetError('it broke off');
      return records.map((id) => (id === 'c' && told.length < 4 ? again() : undefined));
    },
    settled() {},
    halves: () => true,
    signal: new AbortController().signal,
  });
  assert.deepEqual(told, [
    ['abcd', 0],
    ['ab', 0],
    ['cd', 0],
    ['c', 1],
  ]);
});

test('What is to be sent again goes without the rest, at most five times, and a refused record goes no more.', async () => {
  const { requests, settled } = await play([...'abcd'], (records, request) =>
    records.map((id) =>
      id === 'b' && request < 3 ? again() : id === 'c' ? refusal() : id === 'd' ? again() : undefined,
    ),
  );
  assert.deepEqual(
    requests.map((ids) => ids.join('')),
    ['abcd', 'bd', 'bd', 'd', 'd'],
  );
  assert.deepEqual(settled, [
    ['a', undefined],
    ['c', 'the target answered 422'],
    ['b', undefined],
    ['d', 'the record is to be sent again'],
  ]);
});

test('A batch that is refused is cut in half until the bad record stands alone, and all others are written.', async () => {
  const { requests, settled } = await play([...'abcdefgh'], (records) =>
    records.includes('f') ? refusal() : written(records),
  );
  assert.deepEqual(
    requests.map((ids) => ids.join('')),
    ['abcdefgh', 'abcd', 'efgh', 'ef', 'e', 'f', 'gh'],
  );
  assert.deepEqual(
    settled.filter(([, error]) => error),
    [['f', 'the target answered 422']],
  );
  assert.equal(settled.length, 8);
});

test('What no half could change is not cut: each record has that fault.', async () => {
  const { requests, settled } = await play([...'abc'], () => refusal(403), { halves: () => false });
  assert.equal(requests.length, 1);
  assert.deepEqual(
    settled,
    [...'abc'].map((id) => [id, 'the target answered 403']),
  );
});

test('Wherever bad records are, only they fail, and they cost at most two requests each for each halving.', async () => {
  const drawn = fc
    .integer({ min: 1, max: 300 })
    .chain((n) => fc.record({ n: fc.constant(n), bad: fc.uniqueArray(fc.nat(n - 1), { maxLength: 5 }) }));
  await fc.assert(
    fc.asyncProperty(drawn, async ({ n, bad }) => {
      const isBad = (index: number) => bad.includes(index);
      const { requests, settled, error } = await play([...Array(n).keys()], (records) =>
        records.some(isBad) ? refusal() : written(records),
      );
      assert.equal(error, undefined);
      assert.deepEqual(
        settled.map(([index]) => index),
        [...Array(n).keys()],
      );
      for (const [index, reason] of settled) assert.equal(reason !== undefined, isBad(index), `${index}`);
      const extra = 2 * bad.length * Math.ceil(Math.log2(n));
      assert.ok(requests.length <= 1 + extra, `${requests.length} requests for ${bad.length} bad ones of ${n}`);
    }),
    { numRuns: 300 },
  );
});

test('Above a size of request that nobody has told, every record is written, with at most twice as many requests as halves need.', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 50 }), async (n, most) => {
      const { requests, settled } = await play([...Array(n).keys()], (records) =>
        records.length > most ? refusal(413) : written(records),
      );
      assert.ok(settled.length === n && settled.every(([, error]) => error === undefined));
      assert.ok(requests.length <= 4 * Math.ceil(n / most), `${requests.length} requests of ${most} for ${n}`);
    }),
    { numRuns: 100 },
  );
});

test('Whatever the answers, each record is settled once; those that are written and no others without a fault.', async () => {
  const said = fc.array(fc.constantFrom('written', 'again', 'refused', 'all refused', 'none reached'), {
    maxLength: 40,
  });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 40 }), said, async (n, words) => {
      const stored = new Set<number>();
      let at = 0;
      const { settled } = await play([...Array(n).keys()], (records) => {
        const word = words[at++] ?? 'written';
        if (word === 'all refused') return refusal();
        if (word === 'none reached') return new TargetError('no answer');
        return records.map((index) => {
          const own = words[(at + index) % Math.max(words.length, 1)] ?? word;
          if (own === 'again') return again();
          if (own === 'refused') return refusal();
          stored.add(index);
          return undefined;
        });
      });
      assert.deepEqual(
        settled.map(([index]) => index).sort((a, b) => a - b),
        [...Array(n).keys()],
      );
      for (const [index, error] of settled) assert.equal(error === undefined, stored.has(index), `${index}`);
    }),
    { numRuns: 200 },
  );
});

test('What ends the run is thrown, and leaves what is not known unsettled.', async () => {
  const over = new Interrupted('throttled', 'the target asks for a pause of an hour');
  const { requests, settled, error } = await play([...'abcdefgh'], (records, request) =>
    request === 1 ? refusal(413) : request === 2 ? written(records) : over,
  );
  assert.equal(error, over);
  assert.deepEqual(
    requests.map((ids) => ids.join('')),
    ['abcdefgh', 'abcd', 'efgh'],
  );
  assert.deepEqual(
    settled,
    [...'abcd'].map((id) => [id, undefined]),
  );
});

test('Once nothing may start any more, neither a half nor another attempt goes, and the rest stays unsettled.', async () => {
  const deadline = new Interrupted('deadline', 'the reserve is reached');
  for (const answer of [() => refusal(), (records: string[]) => [undefined, ...records.slice(1).map(again)]]) {
    const closing = new AbortController();
    const { requests, settled, error } = await play(
      [...'abcd'],
      (records) => {
        closing.abort(deadline);
        return answer(records);
      },
      { signal: closing.signal },
    );
    assert.equal(error, deadline);
    assert.equal(requests.length, 1);
    assert.ok(settled.every(([id, error]) => id === 'a' && error === undefined));
  }
});
