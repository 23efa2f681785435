import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { answer, bodyOf, serve } from '../../infra/local/serve.ts';
import type { Acceptance } from '../../lib/engine/accept.ts';
import { parseJson } from '../../lib/http/json.ts';
import { digitsOf, isInexact, rawJson } from '../../lib/inexact-number.ts';
import { exactNumber } from '../../lib/job.ts';
import { streamPages } from '../../lib/read/stream-pages.ts';
import { openListed } from '../support/listed-source.ts';
import { pipeline, record, servePages } from '../support/pipeline.ts';
import { mulberry32 } from '../support/random.ts';

/** Numbers that JavaScript holds and writes with the same value, whatever their form. */
const EXACT = [
  ...[
    '0',
    '-0',
    '-0.0e9',
    '7',
    '-1.50',
    '0.1',
    '1e2',
    '1E+2',
    '15e-1',
    '1e21',
    '123456789012345680000',
    '9007199254740992',
  ],
  ...['-9007199254740991', '0.30000000000000004', '12.3400000000000000000000', '5e-324', '1.7976931348623157e308'],
  ...['0.000000000000000000000000000001', '1000000000000000000000000', `1${'0'.repeat(300)}`, `0.${'0'.repeat(400)}`],
];

/** Numbers that it does not. */
const ALTERED = [
  ...['9007199254740993', '-9007199254740993', '12345678901234567890', '0.1234567890123456789', '1.00000000000000001'],
  ...['9007199254740993e0', '900719925474099.3e1', '1e400', '-1e400', '1e-400', '123e-325', '1.7976931348623159e308'],
  ...['0.1000000000000000055511151231257827', '9007199254740993.0', `1${'0'.repeat(300)}1`],
];

/** JSON text as it is parsed, with `!` and the digits in place of a number that would be altered. */
function parsed(json: string): unknown {
  const shown = (value: unknown): unknown => {
    if (isInexact(value)) return `!${digitsOf(value)}`;
    if (Array.isArray(value)) return value.map(shown);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shown(each)]));
  };
  return shown(parseJson(Buffer.from(json)));
}

test('A number that JavaScript would alter is kept apart with its digits, wherever it stands, and any other is a number.', () => {
  for (const place of [
    (n: string) => n,
    (n: string) => ` [1,${n}]`,
    (n: string) => `{"a": "1,2", "b":[{"c" :\n${n}\t}]}`,
  ]) {
    for (const number of EXACT) assert.deepEqual(parsed(place(number)), JSON.parse(place(number)), number);
    for (const number of ALTERED) assert.deepEqual(parsed(place(number)), JSON.parse(place(`"!${number}"`)), number);
  }
});

test('Digits in a string stay what they are.', () => {
  const strings = [
    '9007199254740993',
    ': 9007199254740993',
    ', 1e400',
    '[12345678901234567890',
    '"\\,9007199254740993,',
  ];
  assert.deepEqual(parseJson(Buffer.from(JSON.stringify(strings))), strings);
  assert.deepEqual(parsed(`{",9007199254740993":1e400,"s":${JSON.stringify(strings)}}`), {
    ',9007199254740993': '!1e400',
    s: strings,
  });
});

/** The value of a decimal as a whole number of units of 10^-400. */
function unitsOf(decimal: string): bigint {
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:e(.+))?$/.exec(decimal)!;
  const units = BigInt(whole + fraction) * 10n ** BigInt(400 + Number(exponent) - fraction.length);
  return sign ? -units : units;
}

test('Of random numbers exactly those are kept apart that JavaScript writes with another value.', () => {
  const random = mulberry32(16);
  const digits = (count: number) => Array.from({ length: count }, () => Math.floor(random() * 10)).join('');
  let altered = 0;
  for (let times = 0; times < 5000; times++) {
    const whole = `${1 + Math.floor(random() * 9)}${digits(Math.floor(random() * 20))}`;
    const fraction = random() < 0.5 ? '' : `.${digits(1 + Math.floor(random() * 20))}`;
    const exponent = random() < 0.7 ? '' : `e${Math.floor(random() * 100) - 50}`;
    const number = `${random() < 0.5 ? '-' : ''}${whole}${fraction}${exponent}`;
    const isAltered = unitsOf(String(Number(number))) !== unitsOf(number);
    altered += Number(isAltered);
    assert.equal(isInexact((parseJson(Buffer.from(`[${number}]`)) as unknown[])[0]), isAltered, number);
  }
  assert.ok(altered > 1000 && altered < 4000, `${altered}`);
});

for (const format of ['json-array', 'ndjson'] as const) {
  test(`A number in a stream of ${format} is kept apart in the same way, wherever the stream is cut.`, async () => {
    const numbers = [...EXACT, ...ALTERED];
    const records = numbers.map((number) => `{"n":${number}}`);
    const text = format === 'ndjson' ? records.join('\n') : `[${records.join()}]`;
    const list = streamPages({ path: '/all', query: () => ({}), format });
    await using source = await openListed(list, async (_, response) => {
      for (let at = 0; at < text.length; at += 11)
        await new Promise((resolve) => response.write(text.slice(at, at + 11), resolve));
      response.end();
    });
    const read = (await source.readAll()).flatMap((page) => page.records as { n: unknown }[]);
    assert.deepEqual(
      read.map(({ n }) => (isInexact(n) ? digitsOf(n) : n)),
      [...EXACT.map(Number), ...ALTERED],
    );
  });
}

/** Copies records whose field `big` has these digits; gives what the target received, by id, and what became of the rest. */
async function copied(numbers: string[], schema?: unknown) {
  const received = new Map<string, string>();
  const rejected: unknown[] = [];
  await using target = await serve(async (request, response) => {
    received.set(decodeURIComponent(request.url?.split('/').at(-1) ?? ''), await bodyOf(request));
    answer(response, 200, {});
  });
  const models = numbers.map((digits, index) => ({ ...record(`m-${index}`), big: rawJson(digits) }));
  await using source = await servePages([models]);
  await using run = await pipeline({
    ...{ source, target },
    outcomes: {
      invalid: (_, reason, raw) => void rejected.push([reason, JSON.stringify((raw as { big: unknown }).big)]),
    },
    ...(schema !== undefined && { schema: schema as Acceptance<ReturnType<typeof record>>['schema'] }),
  });
  assert.equal(await run.run(), 'complete');
  const bodies = [...received].sort().map(([id, body]) => [id, /"big":([^,}]*)/.exec(body)?.[1]]);
  return { bodies, rejected, problems: run.problems, counts: run.counts() };
}

const withBig = (big: v.GenericSchema) => v.looseObject({ id: v.string(), big });
const NUMBERS = ['9007199254740993', '42', '0.1234567890123456789'];
const REASON = 'big: the number has more digits than JavaScript keeps and would be altered: declare it as exactNumber';

test('A record with a number that would be altered is invalid with that reason, and the record as it came goes on.', async () => {
  const { bodies, rejected, counts } = await copied(NUMBERS, withBig(v.number()));
  assert.deepEqual(bodies, [['m-1', '42']]);
  assert.deepEqual(rejected, [
    [REASON, NUMBERS[0]],
    [REASON, NUMBERS[2]],
  ]);
  assert.deepEqual(counts, { read: 3, written: 1, invalid: 2, failed: 0, unsettled: 0 });
});

test('A number that would be altered matches no schema of a number, a text, a boolean, an object or a list.', async () => {
  const schemas = [v.number(), v.string(), v.boolean(), v.object({}), v.looseObject({}), v.record(v.string(), v.any())];
  for (const big of [
    ...schemas,
    v.array(v.any()),
    v.union([v.object({}), v.string()]),
    v.pipe(v.any(), v.transform(Number)),
  ])
    assert.equal((await copied(NUMBERS.slice(0, 1), withBig(big))).counts.invalid, 1, big.type);
});

test('Declared exact, a number arrives at the target with all of its digits.', async () => {
  const numbers = [...NUMBERS, '-12345678901234567890123456789', '1e400'];
  const { bodies, counts } = await copied(numbers, withBig(exactNumber));
  assert.deepEqual(
    bodies,
    numbers.map((digits, index) => [`m-${index}`, digits]),
  );
  assert.equal(counts.written, numbers.length);
  const { problems } = await copied(['"9007199254740993"', 'null', 'true'], withBig(exactNumber));
  assert.deepEqual(
    problems.map(({ reason }) => reason),
    Array(3).fill('big: must be a number'),
  );
});

test('A schema that lets everything through alters no digit either, and a job that calculates with one fails the record.', async () => {
  const { bodies } = await copied(NUMBERS, withBig(v.unknown()));
  assert.deepEqual(
    bodies,
    NUMBERS.map((digits, index) => [`m-${index}`, digits]),
  );
  const doubled = v.pipe(
    withBig(v.any()),
    v.transform(({ big, ...rest }) => ({ ...rest, big: (big as number) * 2 })),
  );
  const { bodies: calculated, problems } = await copied(NUMBERS, doubled);
  assert.deepEqual(calculated, [['m-1', '84']]);
  assert.deepEqual(
    problems.map(({ kind, reason }) => [kind, reason]),
    Array(2).fill(['invalid', 'the job threw TypeError']),
  );
});

test('A page of a million digits or zeros is parsed without delay.', () => {
  const long = '1'.repeat(1_000_000);
  const zeros = '0'.repeat(1_000_000);
  const numbers = [long, `1.${zeros}1`, `1${zeros}`, `0.${zeros}1e1000001`, `"${long}"`];
  const read = parseJson(Buffer.from(`[${numbers.join()}]`)) as unknown[];
  assert.deepEqual(read.map(isInexact), [true, true, true, false, false]);
});
