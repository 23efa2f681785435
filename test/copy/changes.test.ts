import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { countingChanges } from '../../lib/copy/changes.ts';
import { newReport } from '../../lib/report.ts';
import { openPass } from '../../lib/state/pass-under-way.ts';
import type { Pass } from '../../lib/state/schemas.ts';

const begun: Pass = {
  ...{ runId: 'run-1', startedAt: '2026-01-05T12:00:00.000Z', full: true, fingerprint: 'f' },
  ...{ cursor: null, counts: newReport() },
};

/** A run of the pass that is saved, from its beginning or from where an earlier run has got to. */
function openRun(saved: Pass = begun) {
  const pass = openPass(saved, 60);
  const { countOf } = countingChanges(pass);
  return { countOf, saved: (): Pass => JSON.parse(JSON.stringify(pass.current())) };
}

test('A content that is written again has the same number, and one that comes after another has its own.', () => {
  const { countOf } = openRun();
  const counts = [...'AABBAACAB'].map((content) => countOf('a', content));
  assert.deepEqual(counts, [0, 0, 1, 1, 2, 2, 3, 4, 5]);
  assert.equal(countOf('b', 'B'), 0);
});

test('In one run, no two writes of a record have one key, unless nothing else of it was written in between.', () => {
  const write = fc.tuple(fc.constantFrom('a', 'b'), fc.constantFrom('A', 'B', 'C'));
  fc.assert(
    fc.property(fc.array(write, { maxLength: 60 }), (writes) => {
      const { countOf } = openRun();
      const keys = new Set<string>();
      const last = new Map<string, { content: string; key: string }>();
      for (const [id, content] of writes) {
        const key = `${id}:${content}:${countOf(id, content)}`;
        const before = last.get(id);
        if (before?.content === content) assert.equal(key, before.key);
        else assert.ok(!keys.has(key), key);
        keys.add(key);
        last.set(id, { content, key });
      }
    }),
  );
});

test('A later run of the pass goes on counting the records that have changed, under hashes of their ids.', () => {
  const first = openRun();
  for (const content of 'ABA') first.countOf('secret id', content);
  first.countOf('unchanged', 'A');
  const saved = first.saved();
  assert.deepEqual(Object.values(saved.changes ?? {}), [[2, 10]]);
  assert.ok(!JSON.stringify(saved.changes).includes('secret'));
  const second = openRun(saved);
  assert.deepEqual([second.countOf('secret id', 'A'), second.countOf('secret id', 'B')], [2, 3]);
  assert.equal(second.countOf('unchanged', 'B'), 0);
  assert.equal(openRun(second.saved()).countOf('secret id', 'A'), 4);
});

test('A pass whose records have not changed saves nothing of them.', () => {
  const { countOf, saved } = openRun();
  for (let index = 0; index < 100; index++) countOf(`${index}`, 'A');
  assert.equal('changes' in saved(), false);
});

test('The last 30,000 ids are remembered, and of those before them the ones that have changed.', () => {
  const { countOf } = openRun();
  countOf('changed', 'A');
  countOf('changed', 'B');
  countOf('recent', 'A');
  for (let index = 0; index < 29_000; index++) countOf(`${index}`, 'A');
  assert.equal(countOf('recent', 'B'), 1);
  for (let index = 0; index < 61_000; index++) countOf(`${index}`, 'A');
  assert.deepEqual([countOf('changed', 'A'), countOf('recent', 'A')], [2, 2]);
});
