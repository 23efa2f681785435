import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HttpError, SolotickError } from '../../lib/errors.ts';

/** `npm run test:fuzz` sets both; in `npm test` every run draws the same, so that a failure is nobody's luck. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 300);
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_124);

/**
 * Tries a border with drawn input. A failure names the smallest input that still fails, the seed and the path to it.
 * @param share the part of the runs that this border gets, because some cost a hundred times as much as others
 */
export function fuzz<T>(title: string, input: fc.Arbitrary<T>, attempt: (value: T) => unknown, share = 1) {
  test(title, { timeout: 3_600_000 }, async () => {
    const property = fc.asyncProperty(input, async (value) => {
      await attempt(value);
    });
    await fc.assert(property, { numRuns: Math.ceil(RUNS * share), seed: SEED });
  });
}

/** Does what must work or end in one of our own errors of this name, whose message stays within its bound. */
export async function worksOrThrows<T>(names: string[], work: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    checkError(names, error);
    return undefined;
  }
}

export function checkError(names: string[], error: unknown) {
  assert.ok(
    error instanceof SolotickError || error instanceof HttpError,
    `a strange error: ${(error as Error)?.stack}`,
  );
  assert.ok(names.includes(error.name), `${error.name}: ${error.message}`);
  checkMessage(error.message);
}

export function checkMessage(message: string) {
  assert.ok(message.length > 0);
  assert.ok(Buffer.byteLength(message) <= 2000, `a message of ${Buffer.byteLength(message)} bytes`);
}

const LONG = 100_000;

/** Text as a stranger may write it: any characters, names that objects inherit, and very long. */
export const text = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: 'binary' }) },
  { weight: 2, arbitrary: fc.string() },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '',
      ' ',
      '.',
      '..',
      '\0',
      '\ud800',
      '\u202e\n',
      '__proto__',
      'constructor',
      '0',
      '-1',
      '1e999',
      'null',
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom('x', 'ü', '🙂', '\u0001', '"').map((unit) => unit.repeat(LONG)) },
);

export const rightTimes = fc
  .date({ min: new Date('2020-01-01'), max: new Date('2030-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString());

/** A time as somebody may write it, right and wrong. */
export const time = fc.oneof(
  rightTimes,
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc
    .date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    .map((date) => date.toUTCString()),
  fc.constantFrom(
    '2026-02-30T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01',
    '9999-12-31T23:59:59-14:00',
    '1.5',
    '120',
  ),
  text,
);

/** Any value that JSON can hold. */
export const json = fc.oneof(
  { weight: 4, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 3, arbitrary: text },
  { weight: 1, arbitrary: fc.constantFrom(0, -1, 1.5, 1e308, true, null, [], {}, [[]], [null]) },
);

/** An object with some of these keys, now and then one more, and values that are mostly what they should be. */
export const like = (fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.record(fields, { requiredKeys: [] }) },
    { weight: 12, arbitrary: fc.record(fields) },
    {
      weight: 3,
      arbitrary: fc
        .tuple(fc.record(fields, { requiredKeys: [] }), text, json)
        .map(([object, key, value]) => ({ ...object, [key]: value })),
    },
    { weight: 1, arbitrary: json },
  );

/** Mostly `right`, now and then anything. */
export const mostly = <T>(right: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 40, arbitrary: right as fc.Arbitrary<unknown> }, { weight: 1, arbitrary: json });
