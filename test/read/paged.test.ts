import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cursorPages, linkPages, numberedPages, offsetPages, streamPages, urlPages } from '../../lib/job.ts';
import { valueAt } from '../../lib/read/select.ts';

// As a job in plain JavaScript would call them.
const kinds: Record<string, [make: (options: never) => unknown, right: Record<string, unknown>]> = {
  cursorPages: [cursorPages, { path: '/a', records: 'items', next: 'next' }],
  linkPages: [linkPages, { path: '/a' }],
  urlPages: [urlPages, { path: '/a', records: 'items', next: 'next' }],
  offsetPages: [offsetPages, { path: '/a', records: 'items', size: 10 }],
  numberedPages: [numberedPages, { path: '/a', records: 'items', size: 10 }],
  streamPages: [streamPages, { path: '/a', format: 'ndjson' }],
};

for (const [name, [make, right]] of Object.entries(kinds)) {
  const messageOf = (options: object) => {
    try {
      make(options as never);
    } catch (error) {
      assert.equal((error as Error).name, 'JobError');
      return (error as Error).message;
    }
    return assert.fail('the options should be refused');
  };

  test(`${name} takes its options, and names one that is unknown, missing or of another type.`, () => {
    make(right as never);
    make({ ...right, headers: { accept: 'x' }, query: () => ({}) } as never);
    assert.match(
      messageOf({ ...right, cursr: 'x' }),
      new RegExp(`^${name}: "cursr" is not an option of it: it has path`),
    );
    for (const key of Object.keys(right)) {
      assert.equal(messageOf({ ...right, [key]: undefined }), `${name}: "${key}" is missing`);
      assert.match(messageOf({ ...right, [key]: true }), new RegExp(`^${name}: "${key}" must be a `));
    }
    if (name === 'streamPages') return;
    assert.equal(messageOf({ ...right, method: 'PUT' }), `${name}: "method" must be GET or POST`);
  });
}

test('A path leads through objects and lists, and a key may hold dots.', () => {
  const value = { a: { b: [{ c: 1 }] }, 'a.b': { d: 2 }, '@x.y': 3, 'a.b.c': { 'd.e': 4 }, f: null };
  for (const [path, found] of [
    ['a.b.0.c', undefined],
    ['a.b.d', 2],
    ['@x.y', 3],
    ['a.b.c.d.e', 4],
    ['f.g', undefined],
    ['constructor', undefined],
    ['a.length', undefined],
    ['', undefined],
  ] as const)
    assert.equal(valueAt(value, path), found, path);
  assert.equal(valueAt({ a: { b: [{ c: 1 }] } }, 'a.b.0.c'), 1);
  assert.equal(valueAt('text', 'length'), undefined);
});
