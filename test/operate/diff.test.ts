import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DiffOptions, diff } from '../../infra/operate/diff.ts';
import { Refusal } from '../../infra/terminal/refusal.ts';
import { newReport, type Report } from '../../lib/report.ts';
import type { Result } from '../../lib/run/result.ts';

/** What a comparison answers. */
const result = (counts: Partial<Report>, rest: Partial<Result> = {}): Result => ({
  ...{ status: 'completed', job: 'models', runId: 'run-1', dryRun: true, report: { ...newReport(), ...counts } },
  ...{ differences: [], ...rest },
});

/** Runs the command with a function that gives these answers, one for each shard. */
async function compared(options: DiffOptions, ...answers: Result[]) {
  const events: object[] = [];
  const lines: string[] = [];
  const agree = await diff(options, {
    shards: answers.length,
    print: (text) => lines.push(...[text].flat()),
    async invoke(event) {
      events.push(event);
      return answers[events.length - 1]!;
    },
  });
  return { agree, events, lines };
}

test('A target that equals the source agrees, and nothing but a dry run is asked for.', async () => {
  const { agree, events, lines } = await compared({}, result({ read: 7, unchanged: 7 }));
  assert.equal(agree, true);
  assert.deepEqual(events, [{ dryRun: true }]);
  assert.deepEqual(lines, ['7 read, 0 would be written, 7 unchanged', 'the target equals the source']);
});

test('What differs is counted and named, with its fields, and with their values where they are asked for.', async () => {
  const differences: Result['differences'] = [
    { id: 'a', kind: 'new' },
    { id: 'b', kind: 'changed', fields: [{ name: 'name' }, { name: 'limit' }] },
    { id: 'c', kind: 'vanished' },
  ];
  const counts = { read: 9, written: 4, unchanged: 5, removed: 1 };
  const { agree, lines } = await compared({}, result(counts, { differences }));
  assert.equal(agree, false);
  assert.deepEqual(lines, [
    '9 read, 4 would be written, 5 unchanged, 1 would be removed',
    '  new       a',
    '  changed   b: name, limit',
    '  vanished  c',
    '  and 2 more',
    'the target differs from the source',
  ]);

  const fields = [
    { name: 'name', source: 'A', target: 7 },
    { name: 'limit', target: { context: 1 } },
  ];
  const shown = await compared(
    { values: true },
    result({ written: 1 }, { differences: [{ id: 'b', kind: 'changed', fields }] }),
  );
  assert.deepEqual(shown.events, [{ dryRun: true, values: true }]);
  assert.deepEqual(shown.lines.slice(1, -1), [
    '  changed   b: name, limit',
    '            name: "A" at the source, 7 at the target',
    '            limit: nothing at the source, {"context":1} at the target',
  ]);
});

for (const name of ['written', 'removed', 'invalid', 'failed'] as const) {
  test(`One record that is ${name} in one of several shards is no agreement.`, async () => {
    const { agree, events } = await compared({}, result({ read: 3, unchanged: 3 }), result({ [name]: 1 }));
    assert.equal(agree, false);
    assert.deepEqual(events, [
      { shard: { index: 0, of: 2 }, dryRun: true },
      { shard: { index: 1, of: 2 }, dryRun: true },
    ]);
  });
}

test('A value that the function has cut is shown as it is.', async () => {
  const source = `"${'x'.repeat(198)}…`;
  const fields = [{ name: 'text', source, target: 'x' }];
  const { lines } = await compared({}, result({ written: 1 }, { differences: [{ id: 'b', kind: 'changed', fields }] }));
  assert.equal(lines[2], `            text: ${source} at the source, "x" at the target`);
});

test('Shards are counted together, and twenty records named.', async () => {
  const differences = (prefix: string) =>
    Array.from({ length: 20 }, (_, index) => ({ id: `${prefix}${index}`, kind: 'new' as const }));
  const { lines } = await compared(
    {},
    result({ read: 30, written: 30 }, { differences: differences('a') }),
    result({ read: 25, written: 25 }, { differences: differences('b') }),
  );
  assert.equal(lines[0], '55 read, 55 would be written');
  assert.equal(lines.filter((line) => line.startsWith('  new')).length, 20);
  assert.equal(lines.at(-2), '  and 35 more');
});

test('Vanished records are named however many others differ.', async () => {
  const differences = (['new', 'vanished'] as const).flatMap((kind) =>
    Array.from({ length: 20 }, (_, index) => ({ id: `${kind}${index}`, kind })),
  );
  const { lines } = await compared({}, result({ read: 30, written: 30, removed: 22 }, { differences }));
  assert.equal(lines.filter((line) => line.startsWith('  new')).length, 20);
  assert.equal(lines.filter((line) => line.startsWith('  vanished')).length, 20);
  assert.equal(lines.at(-2), '  and 12 more');
});

test('A record that is invalid at the source is named with its reason.', async () => {
  const problems = [{ id: 'a', kind: 'invalid' as const, reason: 'name is missing' }];
  const { lines } = await compared({}, result({ read: 1, invalid: 1 }, { problems }));
  assert.deepEqual(lines.slice(1), ['  invalid   a: name is missing', 'the target differs from the source']);
});

test('A comparison that ended before it knew any difference is not taken for one of a job without a list of its target.', async () => {
  const early = { status: 'partial', reason: 'deadline', message: 'the time is over', differences: undefined } as const;
  const { agree, lines } = await compared({}, result({}, early as never));
  assert.equal(agree, false);
  assert.equal(lines[0], 'partial (deadline): the time is over');
});

test('What has vanished differs, also where the job cannot remove it.', async () => {
  const { agree, lines } = await compared(
    {},
    result({ unchanged: 2 }, { differences: [{ id: 'a', kind: 'vanished' }] }),
  );
  assert.equal(agree, false);
  assert.equal(lines.at(-1), 'the target differs from the source');
});

test('A record of which the source does not say whether it has it is no agreement.', async () => {
  const problems = [{ id: 'a', kind: 'failed' as const, reason: 'the source answered 500' }];
  const { agree, lines } = await compared({}, result({ read: 1, unchanged: 1 }, { problems }));
  assert.equal(agree, false);
  assert.deepEqual(lines.slice(1), ['  failed    a: the source answered 500', 'the target differs from the source']);
});

test('A comparison that ended early says so, and agrees with nothing.', async () => {
  const early = { status: 'partial', reason: 'deadline', message: 'the time is over' } as const;
  const { agree, lines } = await compared({}, result({ read: 2, unchanged: 2 }, early));
  assert.equal(agree, false);
  assert.deepEqual(lines, [
    'partial (deadline): the time is over',
    '2 read, 0 would be written, 2 unchanged',
    'as far as it was read, the target equals the source',
  ]);
});

test('As JSON, one answer is printed, or a list of those of the shards.', async () => {
  const one = result({ read: 1, unchanged: 1 });
  assert.deepEqual(JSON.parse((await compared({ json: true }, one)).lines.join('\n')), one);
  assert.deepEqual(JSON.parse((await compared({ json: true }, one, one)).lines.join('\n')), [one, one]);
});

test('Where nobody knows what has vanished, the comparison says so.', async () => {
  const known = result({ read: 7, unchanged: 7 });
  const { agree, lines } = await compared({}, known, { ...known, vanishedUnknown: true });
  assert.ok(agree);
  assert.match(lines.at(-2) ?? '', /nothing is said of records that have vanished from the source/);
  assert.doesNotMatch((await compared({}, known)).lines.join(), /vanished/);
});

test('A window is passed on, and a wrong one is refused by name.', async () => {
  const { events } = await compared({ since: '2026-01-01', until: '2026-01-02' }, result({}));
  const window = { since: '2026-01-01T00:00:00.000Z', until: '2026-01-02T00:00:00.000Z' };
  assert.deepEqual(events, [{ ...window, dryRun: true }]);
  for (const [options, message] of [
    [{ since: 'yesterday' }, /--since "yesterday" is not a time/],
    [{ since: '2026-01-02', until: '2026-01-01' }, /is not before --until/],
  ] as const)
    await assert.rejects(
      compared(options, result({})),
      (error) => error instanceof Refusal && message.test(error.message),
    );
});

test('A job that cannot list its target is refused in a sentence.', async () => {
  const { differences: _, ...plain } = result({ read: 1, written: 1 });
  for (const json of [false, true])
    await assert.rejects(
      compared({ json }, plain),
      (error) => error instanceof Refusal && /^the job does not say how to list its target/.test(error.message),
    );
});
