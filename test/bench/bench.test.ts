import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { chartOf } from './chart.ts';
import { median, type Row, rowNames, rowOf, tableOf, unmeasured } from './row.ts';
import { logNormal } from './slow-target.ts';

const bench = (...args: string[]) =>
  promisify(execFile)(process.execPath, [join(import.meta.dirname, 'bench.ts'), ...args], { timeout: 900_000 });

test('The bench prints every row as a table and as JSON, each figure beside its limit.', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'solotick-bench-test-'));
  t.after(() => rm(folder, { recursive: true }));
  const chart = join(folder, 'chart.svg');
  const { stdout } = await bench('--quick', '--json', '--chart', chart);
  const lines = stdout.trimEnd().split('\n');
  const { rows } = JSON.parse(lines.at(-1)!) as { rows: Row[] };
  assert.deepEqual(
    rows.map(({ name }) => name),
    rowNames,
  );
  for (const row of rows) {
    assert.ok(row.limit > 0, row.name);
    if (row.ok === null) {
      assert.ok(row.why, row.name);
      continue;
    }
    assert.equal(typeof row.ok, 'boolean', row.name);
    for (const figure of [row.value, row.against, row.ratio]) assert.ok(Number(figure) > 0, `${row.name}: ${figure}`);
  }
  // Counted figures are the same at any size.
  assert.equal(rows.find(({ name }) => name === 'warm-skip')?.why, '1 and 1 calls decide a duplicate and a held lock');
  assert.ok(stdout.includes(tableOf(rows)));
  assert.equal(await readFile(chart, 'utf8'), chartOf(rows));
});

test('An unknown row is refused with the names of all rows.', async () => {
  await assert.rejects(
    bench('--only', 'throughput,speed'),
    ({ code, stderr }: { code: number; stderr: string } & Error) => {
      assert.equal(code, 2);
      assert.match(stderr, /^no such row: speed\n/);
      for (const name of rowNames) assert.ok(stderr.includes(name), name);
      return true;
    },
  );
});

test('A row is judged by the median of its pairs’ ratios, and by any further condition.', () => {
  const pairs = [
    { own: 80, other: 100 },
    { own: 10, other: 100 },
    { own: 450, other: 500 },
  ];
  assert.partialDeepStrictEqual(rowOf('throughput', pairs), {
    value: 80,
    against: 100,
    ratio: 0.8,
    limit: 0.8,
    ok: true,
  });
  assert.equal(rowOf('throughput', [{ own: 79, other: 100 }]).ok, false);
  assert.equal(rowOf('memory', [{ own: 120, other: 100 }]).ok, true);
  assert.equal(rowOf('memory', [{ own: 121, other: 100 }]).ok, false);
  const over = rowOf('memory', [{ own: 120, other: 100 }], { ok: false, why: 'too much' });
  assert.deepEqual([over.ok, over.why], [false, 'too much']);
});

test('A row that cannot be measured says why, in the table and in the chart.', () => {
  const row = unmeasured('rival', 'there is no nginx');
  assert.deepEqual([row.ok, row.ratio, row.limit, row.why], [null, null, 4, 'there is no nginx']);
  assert.match(tableOf([row]), /^\? .*at least 4 .*there is no nginx$/m);
  assert.match(chartOf([row]), /not measured/);
});

test('The median of an even number of values is between the middle two.', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([9, 1, 5]), 5);
});

test('The long tail has the requested median and 99th percentile, and is the same each time.', () => {
  const draw = logNormal({ p50Ms: 20, p99Ms: 500, mostMs: 1000 });
  const drawn = Array.from({ length: 20_000 }, draw).sort((a, b) => a - b);
  const near = (actual: number, wanted: number) =>
    assert.ok(Math.abs(actual - wanted) < wanted * 0.1, `${actual} is not about ${wanted}`);
  near(drawn[10_000]!, 20);
  near(drawn[19_800]!, 500);
  assert.equal(drawn.at(-1), 1000);
  const again = logNormal({ p50Ms: 20, p99Ms: 500, mostMs: 1000 });
  assert.deepEqual(
    Array.from({ length: 20_000 }, again).sort((a, b) => a - b),
    drawn,
  );
});
