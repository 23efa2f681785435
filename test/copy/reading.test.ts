import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Reading, readPages } from '../../lib/copy/reading.ts';
import type { ReadPage } from '../../lib/engine/engine.ts';
import { HttpError, SourceError } from '../../lib/errors.ts';
import type { Page, Window } from '../../lib/job-types.ts';
import { newReport } from '../../lib/report.ts';
import { shardOf } from '../../lib/shard.ts';
import { openPass } from '../../lib/state/pass-under-way.ts';
import type { Pass } from '../../lib/state/schemas.ts';
import { job } from '../support/job.ts';
import { record } from '../support/pipeline.ts';
import { recordedLog } from '../support/recorded-log.ts';

type Model = ReturnType<typeof record>;
type Answer = Page | Error;

const clock = '2026-01-05T12:00:00.000Z';

/** A reading of a source whose list answers by cursor, and whose records answer by id. */
function open(
  what: Partial<Reading<Model>> & {
    /** The cursor that the pass begins with. */
    cursor?: string;
    /** What else the pass begins with. */
    begun?: Partial<Pass>;
    list?: Record<string, Answer>;
    records?: Record<string, unknown>;
  },
) {
  const { cursor = null, list = {}, records = {} } = what;
  const begun = { runId: 'run-1', startedAt: clock, full: true, fingerprint: 'f', counts: newReport() };
  const pass = openPass({ ...begun, cursor, counts: { ...newReport(), read: 9 }, ...what.begun }, 60);
  const asked: string[] = [];
  const windows: (string | undefined)[] = [];
  const noted: unknown[][] = [];
  const { log, lines } = recordedLog();
  const reading = {
    ...{ job, pass, ids: undefined, shard: undefined, failedBefore: [], log },
    source: {
      clock,
      async *pages({ since }: Window, from: string | null) {
        windows.push(since);
        if (Object.keys(list).length === 0) return;
        for (let at = from; ; ) {
          asked.push(`list ${at}`);
          const answer = list[String(at)]!;
          if (answer instanceof Error) throw answer;
          yield answer;
          if (answer.cursor === null) return;
          at = answer.cursor ?? null;
        }
      },
      async one(id: string) {
        asked.push(`one ${id}`);
        const answer = records[id];
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
    outcomes: {
      missing: (id: string) => void noted.push(['missing', id]),
      unreadable: (id: string, reason: string) => void noted.push(['unreadable', id, reason]),
    },
    ...what,
  } as unknown as Reading<Model>;
  const pages: ReadPage[] = [];
  const read = async () => {
    for await (const page of readPages(reading)) pages.push(page);
  };
  return { pass, asked, windows, noted, lines, pages, read };
}

const page = (cursor: string | null, ...ids: string[]): Page => ({ records: ids.map((id) => record(id)), cursor });
const refusal = (status: number) => new SourceError(`the source answered ${status}`, { status });
const down = () => new SourceError('no answer', { cause: new HttpError('time-out', true) });

for (const error of [
  refusal(400),
  refusal(404),
  refusal(410),
  refusal(422),
  new SourceError('changed', { cursorRefused: true }),
]) {
  test(`A saved cursor that the source refuses (${error.message}) starts the same window over.`, async () => {
    const { pass, asked, lines, pages, read } = open({ cursor: 'b', list: { b: error, null: page(null, 'a') } });
    await read();
    assert.deepEqual(asked, ['list b', 'list null']);
    assert.deepEqual(pages, [page(null, 'a')]);
    assert.deepEqual([pass.current().cursor, pass.current().counts.read, pass.current().sourceClock], [null, 0, clock]);
    assert.match(lines[0]?.message ?? '', /no longer takes the saved cursor/);
  });
}

test('A cursor that the source refuses later, behind pages that this run has read, is an error, and nothing starts over.', async () => {
  const { pass, asked, lines, pages, read } = open({ cursor: 'b', list: { b: page('c', 'b1'), c: refusal(404) } });
  await assert.rejects(read(), refusal(404));
  assert.deepEqual(asked, ['list b', 'list c']);
  assert.deepEqual(pages, [page('c', 'b1')]);
  assert.deepEqual([pass.current().cursor, pass.current().counts.read, lines], ['b', 9, []]);
});

test('A source that refuses the beginning as well has said nothing about the cursor, which is kept.', async () => {
  const { pass, read } = open({ cursor: 'b', list: { b: refusal(404), null: refusal(404) } });
  await assert.rejects(read(), refusal(404));
  assert.deepEqual([pass.current().cursor, pass.current().counts.read], ['b', 9]);
});

for (const error of [refusal(403), refusal(429), refusal(500), down(), new TypeError('a fault of the job')]) {
  test(`An answer that is not about the cursor (${error.message}) starts nothing over.`, async () => {
    const { asked, read } = open({ cursor: 'b', list: { b: error, null: page(null, 'a') } });
    await assert.rejects(read(), error);
    assert.deepEqual(asked, ['list b']);
  });
}

test('Records that failed before are read first, and then the list.', async () => {
  const { asked, pages, read } = open({
    list: { null: page('b', 'a1'), b: page(null, 'b1') },
    failedBefore: ['x', 'y'],
    records: { x: record('x'), y: record('y') },
  });
  await read();
  assert.deepEqual(asked, ['one x', 'one y', 'list null', 'list b']);
  assert.deepEqual(pages, [
    { records: [record('x'), record('y')], missing: 0, cursor: undefined },
    page('b', 'a1'),
    page(null, 'b1'),
  ]);
});

test('What the source says about each record that failed before is noted once the list has answered.', async () => {
  const { noted, pages, read } = open({
    list: { null: page(null) },
    failedBefore: ['gone', 'refused', 'other', 'fine'],
    records: { refused: refusal(403), other: record('another'), fine: record('fine') },
  });
  await read();
  assert.deepEqual(noted, [
    ['unreadable', 'other', 'the source answers with another record'],
    ['missing', 'gone'],
    ['unreadable', 'refused', 'the source answered 403'],
  ]);
  assert.deepEqual(pages, [
    { records: [record('another'), record('fine')], missing: 0, cursor: undefined },
    { ...page(null), missing: 1 },
  ]);
});

test('A source that goes down is asked for no more of the records that failed before.', async () => {
  const failedBefore = Array.from({ length: 45 }, (_, index) => `x${index}`);
  const { asked, noted, read } = open({ list: { null: page(null) }, failedBefore, records: { x3: down() } });
  await read();
  assert.equal(asked.length, 21);
  // The list has answered, so the failure is the record's.
  assert.deepEqual(noted.at(3), ['unreadable', 'x3', 'no answer']);
});

test('A backfill of ids has no list to go by: while the source is down nothing is said about a record.', async () => {
  const { noted, pages, read } = open({
    ids: ['a'],
    failedBefore: ['x', 'y'],
    records: { x: down(), a: record('a') },
  });
  await read();
  assert.deepEqual(noted, []);
  assert.deepEqual(pages, [
    { records: [], missing: 0, cursor: undefined },
    { records: [record('a')], missing: 0, unreadable: 0, cursor: null },
  ]);
});

test('Single records are read once each, twenty at a time, from the one behind the cursor on; the last id ends them.', async () => {
  const ids = Array.from({ length: 45 }, (_, index) => `x${index}`);
  const records = Object.fromEntries(ids.map((id) => [id, record(id)]));
  const whole = open({ ids: [...ids, 'x3'], records });
  await whole.read();
  assert.deepEqual(
    whole.pages.map(({ records, cursor }) => [records.length, cursor]),
    [
      [20, 'x19'],
      [20, 'x39'],
      [5, null],
    ],
  );
  const rest = open({ ids, records: { ...records, x41: undefined }, cursor: 'x39' });
  await rest.read();
  assert.equal(rest.asked[0], 'one x40');
  assert.deepEqual(
    rest.pages.map(({ records, missing, cursor }) => [records.length, missing, cursor]),
    [[4, 1, null]],
  );
  assert.deepEqual(rest.noted, [['missing', 'x41']]);
});

test('A shard reads its own records of a list that cannot be asked for them, and its own ids.', async () => {
  const ids = Array.from({ length: 20 }, (_, index) => `x${index}`);
  const own = ids.filter((id) => shardOf(id, 3) === 1);
  const shard = { index: 1, of: 3 };
  const source = { ...job.source, sharded: false };
  const listed = open({ list: { null: page(null, ...ids) }, shard, job: { ...job, source } as never });
  await listed.read();
  assert.deepEqual(listed.pages, [page(null, ...own)]);
  const records = Object.fromEntries(ids.map((id) => [id, record(id)]));
  const byIds = open({ ids, records, shard });
  await byIds.read();
  assert.deepEqual(
    byIds.pages[0]?.records,
    own.map((id) => record(id)),
  );
});

const since = '2026-01-01T00:00:00.000Z';
const ordered = {
  ordered: true,
  rises: 10,
  oldest: '2026-01-02T00:00:00.000Z',
  newest: '2026-01-03T00:00:00.000Z',
  read: 9,
};
const restarted = '2026-01-02T23:59:00.000Z';

test('A refused cursor of an ordered list reads again from where it has settled, and the log says from when.', async () => {
  const begun = { since, listed: ordered };
  const { pass, asked, windows, lines, read } = open({
    begun,
    cursor: 'b',
    list: { b: refusal(410), null: page(null) },
  });
  await read();
  assert.deepEqual(
    [asked, windows],
    [
      ['list b', 'list null'],
      [since, restarted],
    ],
  );
  assert.equal(pass.current().restart?.since, restarted);
  assert.match(lines[0]?.message ?? '', /it is read again from 2026-01-02T23:59:00.000Z on/);
});

test('A pass that began later again stays in the window that its cursor belongs to, also from its beginning.', async () => {
  const begun = { since, restart: { read: 9, since: restarted } };
  for (const cursor of ['b', undefined]) {
    const list = { b: page(null), null: page(null) };
    const { windows, pass, lines, read } = open({ begun, ...(cursor && { cursor }), list });
    await read();
    assert.deepEqual([windows, lines], [[restarted], []]);
    assert.deepEqual(pass.current().restart, begun.restart);
  }
  const restart = { read: 9, since: undefined };
  const whole = open({ begun: { since, restart }, list: { null: page(null) } });
  await whole.read();
  assert.deepEqual(whole.windows, [undefined]);
});

test('Nothing is said about a record that failed before while the source does not answer its list.', async () => {
  const failedBefore = ['gone', 'refused'];
  const { noted, read } = open({ failedBefore, records: { refused: refusal(403) }, list: { null: refusal(403) } });
  await assert.rejects(read(), refusal(403));
  assert.deepEqual(noted, []);
});

test('A list without a page says that the source is up, like one with pages.', async () => {
  const { noted, pages, read } = open({ failedBefore: ['gone', 'refused'], records: { refused: refusal(403) } });
  await read();
  assert.deepEqual(noted, [
    ['missing', 'gone'],
    ['unreadable', 'refused', 'the source answered 403'],
  ]);
  assert.deepEqual(pages.at(-1), { records: [], missing: 1, cursor: undefined });
  const without = open({ failedBefore: ['x'], records: { x: record('x') } });
  await without.read();
  assert.equal(without.pages.length, 1);
});

test('A record that failed before is spoken about once, however many pages the list has.', async () => {
  const { noted, pages, read } = open({ failedBefore: ['gone'], list: { null: page('b', 'a'), b: page(null, 'b') } });
  await read();
  assert.deepEqual(noted, [['missing', 'gone']]);
  assert.deepEqual(
    pages.map(({ missing }) => missing),
    [0, 1, undefined],
  );
});

test('A backfill of ids believes what a source that is up says about the records that failed before.', async () => {
  const records = { refused: refusal(403), a: record('a') };
  const { noted, pages, read } = open({ ids: ['a'], failedBefore: ['gone', 'refused'], records });
  await read();
  assert.deepEqual(noted, [
    ['missing', 'gone'],
    ['unreadable', 'refused', 'the source answered 403'],
  ]);
  assert.deepEqual(pages[1], { records: [], missing: 1, cursor: undefined });
});

/** As many ids as `count`, and what the source answers to those that `answer` names. */
function numbered(count: number, answer: (index: number) => unknown) {
  const ids = Array.from({ length: count }, (_, index) => `x${index}`);
  const records = Object.fromEntries(ids.map((id, index) => [id, answer(index)]));
  return { ids, records };
}

const unclear = () => new SourceError('the answer is no JSON');
for (const error of [refusal(301), refusal(403), refusal(428), refusal(430), refusal(499), unclear()]) {
  test(`A single record that the source refuses (${error.message}) has failed, and the others are read.`, async () => {
    const { noted, pages, read } = open(numbered(25, (index) => (index === 7 ? error : record(`x${index}`))));
    await read();
    assert.deepEqual(noted, [['unreadable', 'x7', error.message]]);
    assert.deepEqual(
      pages.map(({ records, missing, unreadable, cursor }) => [records.length, missing, unreadable, cursor]),
      [
        [19, 0, 1, 'x19'],
        [5, 0, 0, null],
      ],
    );
  });
}

for (const error of [refusal(429), refusal(500), refusal(503), down(), new TypeError('a fault of the job')]) {
  test(`An answer that says nothing about a single record (${error.message}) ends the reading.`, async () => {
    const { noted, pages, read } = open(numbered(25, (index) => (index === 21 ? error : record(`x${index}`))));
    await assert.rejects(read(), error);
    assert.deepEqual([noted, pages.length], [[], 1]);
  });
}

test('A source that refuses the first hundred ids, or twenty that are all, is to blame, and no record is; nineteen and one answer are not all.', async () => {
  for (const [ids, asked] of [
    [20, 20],
    [99, 99],
    [121, 100],
  ] as const) {
    const all = open(numbered(ids, () => refusal(403)));
    await assert.rejects(all.read(), refusal(403));
    assert.deepEqual([all.noted, all.pages, all.asked.length], [[], [], asked]);
  }

  const head = open(numbered(60, (index) => (index < 59 ? refusal(403) : record('x59'))));
  await head.read();
  assert.deepEqual(
    head.pages.map(({ records, unreadable, cursor }) => [records.length, unreadable, cursor]),
    [
      [0, 20, 'x19'],
      [0, 20, 'x39'],
      [1, 19, null],
    ],
  );
  assert.equal(head.noted.length, 59);

  // An earlier run of the backfill got an answer.
  const counts = { ...newReport(), read: 20, written: 20 };
  const rest = open({ ...numbered(40, () => refusal(403)), cursor: 'x19', begun: { counts } });
  await rest.read();
  assert.deepEqual([rest.noted.length, rest.pages.length], [20, 1]);

  const few = open(numbered(19, () => refusal(403)));
  await few.read();
  assert.deepEqual([few.noted.length, few.pages[0]?.unreadable], [19, 19]);

  // That it knows no such record is an answer.
  for (const answer of [record('x0'), undefined]) {
    const one = open(numbered(60, (index) => (index === 0 ? answer : refusal(403))));
    await one.read();
    assert.equal(one.noted.filter(([what]) => what === 'unreadable').length, 59);
  }
});

test('A backfill that goes on, whose cursor is its last page, reads only the ids behind it.', async () => {
  const { ids, records } = numbered(21, (index) => record(`x${index}`));
  const { asked, pages, read } = open({ ids, records, cursor: 'x19' });
  await read();
  assert.deepEqual(asked, ['one x20']);
  assert.equal(pages.at(-1)?.cursor, null);
});
