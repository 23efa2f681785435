import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { measure } from './sizes.ts';

/** Measures a tree with one file in lib and a README of this many lines. */
async function measured(t: TestContext, code: string, readmeLines = 1) {
  const root = await mkdtemp(join(tmpdir(), 'solotick-sizes-'));
  t.after(() => rm(root, { recursive: true }));
  await mkdir(join(root, 'lib/run'), { recursive: true });
  await writeFile(join(root, 'lib/run/run.ts'), code);
  await writeFile(join(root, 'README.md'), 'text\n'.repeat(readmeLines));
  return measure(root);
}

const statements = (count: number) => '  work();\n'.repeat(count);

test('A function of 100 lines that is mostly functions is listed, and one of 101 is a fault.', async (t) => {
  const inside = `  const inner = () => {\n${statements(60)}  };\n`;
  const atTheLimit = await measured(t, `export function run() {\n${inside}${statements(36)}}\n`);
  assert.deepEqual(atTheLimit.faults, []);
  assert.deepEqual(atTheLimit.figures.slice(-2), [
    'functions of 71 to 100 lines: 1',
    '  lib/run/run.ts:1: run has 100 lines, 39 of them outside the functions inside it',
  ]);
  const { faults } = await measured(t, `export function run() {\n${inside}${statements(37)}}\n`);
  assert.deepEqual(faults, [
    'lib/run/run.ts:1: run has 101 lines, 40 of them outside the functions inside it: divide it, 100 lines are the limit',
  ]);
});

test('A function with more than 70 lines of its own is a fault, whichever way it is written.', async (t) => {
  assert.deepEqual((await measured(t, `export const run = async () => {\n${statements(68)}};\n`)).faults, []);
  const forms = {
    run: `export async function run() {\n${statements(69)}}\n`,
    make: `export const make = () => {\n${statements(69)}};\n`,
    handle: `export const handlers = {\n  handle() {\n${statements(69)}},\n};\n`,
    'the function given to describe': `describe('x', function () {\n${statements(69)}});\n`,
  };
  for (const [name, code] of Object.entries(forms)) {
    const { faults } = await measured(t, code);
    assert.equal(faults.length, 1, name);
    assert.match(faults[0]!, new RegExp(`: ${name} has 71 lines, 71 of them outside .* divide it, only a closure`));
  }
});

test('A README of 200 lines is within the limit, and one of 201 is a fault.', async (t) => {
  assert.deepEqual((await measured(t, '', 200)).faults, []);
  assert.deepEqual((await measured(t, '', 201)).faults, [
    'README.md: it has 201 lines, 200 are the limit: move what is not for a first reader beside the code',
  ]);
});

test('Lines are counted as wc does, and a file of more than 150 is listed.', async (t) => {
  const { figures, faults } = await measured(t, 'work();\n'.repeat(151));
  assert.deepEqual(faults, []);
  assert.equal(figures[0], 'lines of functions and lib: 151 (goal: at most 4600)');
  assert.ok(figures.includes('  lib/run/run.ts: 151 lines'));
});
