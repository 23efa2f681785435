import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { numberOf, rawJson } from '../../lib/inexact-number.ts';
import { canonicalJson } from '../../lib/write/canonical.ts';

/** The same value with the keys of each object in another order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, part]) => [key, reversed(part)]),
  );
}

test('Of any JSON, the text is JSON of the same value, whatever order the keys are in.', () => {
  const keys = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('__proto__', 'toJSON', '10', '9', ''));
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: 'small' },
      fc.string({ unit: 'binary' }),
      fc.double(),
      fc.boolean(),
      fc.constantFrom(null, undefined),
      fc.array(tie('any')),
      fc.dictionary(keys, tie('any'), { maxKeys: 40 }),
    ),
  })).any;
  fc.assert(
    fc.property(value, (body) => {
      if (typeof body === 'string') return;
      const text = canonicalJson(body);
      const json = JSON.stringify(body);
      assert.equal(text, canonicalJson(reversed(body)));
      if (json === undefined) assert.equal(text, '');
      else assert.deepEqual(JSON.parse(text), JSON.parse(json));
    }),
    { numRuns: 1000 },
  );
});

test('Two texts are the same where the values are the same JSON, and nowhere else.', () => {
  const small = fc.jsonValue({ maxDepth: 2, stringUnit: fc.constantFrom('a', '"', ',', '0') });
  const pair = fc.oneof(
    fc.tuple(small, small),
    small.map((value) => [value, reversed(value)]),
  );
  fc.assert(
    fc.property(pair, ([one, other]) => {
      const [left, right] = [one, other].map((value) => JSON.parse(JSON.stringify([value])));
      assert.equal(canonicalJson([one]) === canonicalJson([other]), isDeepStrictEqual(left, right));
    }),
    { numRuns: 1000 },
  );
});

test('Keys are sorted at each level, however many there are.', () => {
  assert.equal(
    canonicalJson({ b: [{ d: 1, c: 2 }], a: { z: null, y: true } }),
    '{"a":{"y":true,"z":null},"b":[{"c":2,"d":1}]}',
  );
  const many = Array.from({ length: 100 }, (_, index) => `k${(index * 37) % 100}`);
  const text = canonicalJson(Object.fromEntries(many.map((key) => [key, 0])));
  assert.equal(text, `{${[...many].sort().map((key) => `"${key}":0`)}}`);
});

class Money {
  readonly #cents: number;
  readonly currency = 'EUR';
  constructor(cents: number) {
    this.#cents = cents;
  }
  toJSON(key: string) {
    return { of: key, currency: this.currency, cents: this.#cents };
  }
}

test('What is no plain JSON is what JSON.stringify makes of it, and what toJSON gives is sorted too.', () => {
  const plain: unknown[] = [
    new Date(0),
    new Date(Number.NaN),
    rawJson('1.50'),
    numberOf('9007199254740993'),
    Object(1),
    Object('x'),
    Object(false),
    [undefined, () => 1, Symbol('s'), Number.NaN, Number.POSITIVE_INFINITY, -0],
    { a: undefined, b: () => 1, c: Symbol('s') },
    new Map([[1, 2]]),
    // biome-ignore lint/suspicious/noSparseArray: a hole is null
    [, 1],
    Object.assign(Object.create(null), { a: 1 }),
    Object.assign(Object.create({ inherited: 1 }), { own: 1 }),
    '\u2028\ud800"\\\n\u007f'.split(''),
    { toJSON: 1 },
    null,
    5,
  ];
  for (const value of plain) {
    assert.equal(canonicalJson(value), JSON.stringify(value));
    assert.equal(canonicalJson({ value }), JSON.stringify({ value }));
    assert.equal(canonicalJson([value]), JSON.stringify([value]));
  }
  assert.equal(canonicalJson({ price: new Money(5) }), '{"price":{"cents":5,"currency":"EUR","of":"price"}}');
  assert.equal(canonicalJson(new Money(5)), '{"cents":5,"currency":"EUR","of":""}');
  assert.equal(canonicalJson([new Money(5)]), '[{"cents":5,"currency":"EUR","of":"0"}]');
});

test('Text, bytes and a form give their text, and a body that is none gives no text.', () => {
  assert.equal(canonicalJson('<a>ö</a>'), '<a>ö</a>');
  assert.equal(canonicalJson(Buffer.from('<a>ö</a>')), '<a>ö</a>');
  assert.equal(canonicalJson(new URLSearchParams({ b: 'ö', a: '1' })), 'b=%C3%B6&a=1');
  for (const nothing of [undefined, () => 1, Symbol('s')]) assert.equal(canonicalJson(nothing), '');
  assert.notEqual(canonicalJson(Buffer.from([0xff])), canonicalJson(Buffer.from([0xfe])));
});

test('What JSON.stringify refuses is refused.', () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  for (const value of [circular, [circular], 1n, { a: 1n }]) assert.throws(() => canonicalJson(value));
});
