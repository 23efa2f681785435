import assert from 'node:assert/strict';
import { test } from 'node:test';
import { existingRecords, type ReadingTarget, readHeld } from '../../lib/copy/reading-target.ts';
import { defineJob } from '../../lib/define-job.ts';
import { Interrupted, SourceError } from '../../lib/errors.ts';
import type { Page } from '../../lib/job-types.ts';
import { shardOf } from '../../lib/shard.ts';
import { job } from '../support/job.ts';

const existing: ReadingTarget['existing'] = (raw) => {
  const { id, ...body } = raw as { id: string };
  return { id, body };
};

async function* pagesOf(...pages: unknown[][]): AsyncGenerator<Page> {
  for (const [index, records] of pages.entries())
    yield { records, cursor: index + 1 < pages.length ? `${index}` : null };
}

const reading = (pages: AsyncIterable<Page>, more: Partial<ReadingTarget> = {}): ReadingTarget => ({
  ...{ list: pages, existing, shard: undefined, signal: new AbortController().signal },
  ...more,
});

test('All pages of the target are read, and what it holds is compared by the body that existing gives.', async () => {
  const held = await readHeld(reading(pagesOf([{ id: 'a', n: 1 }], [], [{ id: 'b', n: 2 }])));
  assert.deepEqual([held.size(), held.holds('a'), held.holds('c')], [2, true, false]);
  assert.deepEqual(
    [held.isSame('a', { n: 1 }), held.isSame('b', { n: 1 }), held.isSame('c', {})],
    [true, false, false],
  );
  assert.equal((await readHeld(reading(pagesOf()))).size(), 0);
});

test('Each shard keeps its own records, and together they keep all.', async () => {
  const ids = Array.from({ length: 200 }, (_, index) => `model-${index}`);
  const page = ids.map((id) => ({ id }));
  let size = 0;
  for (const index of [0, 1, 2]) {
    const held = await readHeld(reading(pagesOf(page), { shard: { index, of: 3 } }));
    for (const id of ids) assert.equal(held.holds(id), shardOf(id, 3) === index);
    size += held.size();
  }
  assert.equal(size, ids.length);
  assert.equal((await readHeld(reading(pagesOf(page), { shard: { index: 0, of: 1 } }))).size(), ids.length);
});

test('The records are given page by page, so that they can be read again without keeping them.', async () => {
  const pages = await Array.fromAsync(
    existingRecords(reading(pagesOf([{ id: 'a' }, { id: 'b' }], [{ id: 'c', n: 1 }]))),
  );
  assert.deepEqual(pages, [
    [
      { id: 'a', body: {} },
      { id: 'b', body: {} },
    ],
    [{ id: 'c', body: { n: 1 } }],
  ]);
});

const secretWord = 'hunter2';
const faults: [what: string, existing: (raw: unknown) => unknown, message: string | RegExp][] = [
  [
    'throws',
    () => {
      throw new RangeError(secretWord);
    },
    "target.existing of the job threw RangeError at record 2 of page 2 of the target's list",
  ],
  ['gives nothing', () => undefined, /^target\.existing of the job threw TypeError at record 2 of page 2 /],
  ['gives null', () => null, /^target\.existing of the job threw TypeError at record 2 of page 2 /],
  ['gives text', () => 'x', "target.existing of the job gave no id for record 2 of page 2 of the target's list"],
  ['gives a promise', async () => ({ id: 'a', body: 1 }), /gave no id for record 2 of page 2 /],
  ['gives no id', () => ({ body: 1 }), /gave no id for record 2 of page 2 /],
  ['gives an empty id', () => ({ id: '', body: 1 }), /gave no id for record 2 of page 2 /],
  [
    'gives a body that is no JSON',
    () => ({ id: 'b', body: 1n }),
    'target.existing of the job gave a body that is no JSON for "b"',
  ],
];
for (const [what, faulty, message] of faults) {
  test(`Where existing ${what}, reading ends with a SourceError that says at which record and quotes nothing.`, async () => {
    const given: ReadingTarget['existing'] = (raw) =>
      (raw === secretWord ? faulty(raw) : { id: 'a', body: 1 }) as ReturnType<ReadingTarget['existing']>;
    await assert.rejects(readHeld(reading(pagesOf([1], [1, secretWord]), { existing: given })), (error) => {
      assert.ok(error instanceof SourceError);
      if (typeof message === 'string') assert.equal(error.message, message);
      else assert.match(error.message, message);
      assert.ok(!error.message.includes(secretWord));
      return true;
    });
  });
}

test('The existing of a defined job gives ids as text, and one that JavaScript has altered is an error.', async () => {
  const { name: _, ...plain } = job;
  const numbered = defineJob({
    ...plain,
    target: { ...plain.target, list: () => pagesOf(), existing: (raw) => ({ id: raw as number, body: 1 }) },
  });
  const { existing } = numbered.target;
  assert.ok(existing);
  assert.equal((await readHeld(reading(pagesOf([7]), { existing }))).holds('7'), true);
  await assert.rejects(readHeld(reading(pagesOf([1.5]), { existing })), {
    ...{ name: 'SourceError', message: /threw TypeError at record 1 of page 1/ },
  });
});

test('What the list throws comes through, and once the run closes no further page is waited for.', async () => {
  const error = new SourceError('GET /items at the target was answered with 500', { status: 500 });
  const broken = async function* () {
    yield { records: [{ id: 'a' }], cursor: 'b' };
    throw error;
  };
  await assert.rejects(readHeld(reading(broken())), error);
  const closing = new AbortController();
  const endless = async function* () {
    yield { records: [{ id: 'a' }], cursor: 'b' };
    closing.abort(new Interrupted('deadline', 'the time is up'));
    await new Promise(() => {});
    yield { records: [], cursor: null };
  };
  await assert.rejects(readHeld(reading(endless(), { signal: closing.signal })), { name: 'Interrupted' });
});
