import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Stryker } from '@stryker-mutator/core';
import { PURE_FILES } from './pure-files.ts';

/** The least part of the mutants, in percent, that the tests have to find. */
const GOAL_PERCENT = 90;

const ROOT = join(import.meta.dirname, '../..');

type Mutant = Awaited<ReturnType<Stryker['runMutationTest']>>[number];

/** Puts one fault after the other into `file` and runs its tests with each, in a copy of the project. */
async function mutantsOf(file: string, tests: string[]): Promise<Mutant[]> {
  const stryker = new Stryker({
    mutate: [file],
    testRunner: 'command',
    // To compile takes half of the time of most tests, and all mutants of a file are in the same text.
    commandRunner: { command: `NODE_COMPILE_CACHE=.compiled node --test --test-isolation=none ${tests.join(' ')}` },
    // Stryker rewrites a tsconfig.json with an API that TypeScript 7 does not have, and nothing here needs one.
    tsconfigFile: 'none',
    plugins: [],
    reporters: [],
    logLevel: 'error' as never,
    concurrency: 1,
    timeoutMS: 10_000,
    tempDirName: '.cache/mutants',
    cleanTempDir: 'always',
    ignorePatterns: ['**', '!package.json', '!functions/**', '!infra/**', '!lib/**', '!test/**'],
  });
  return await stryker.runMutationTest();
}

/** One line for a mutant, as README.md lists those that survive. */
function lineOf(file: string, source: string, { location, replacement = '' }: Mutant): string {
  // Lines and columns count from 1.
  const { start, end } = location;
  const lines = source.split('\n').slice(start.line - 1, end.line);
  const last = lines.length - 1;
  lines[last] = lines[last]!.slice(0, end.column - 1);
  lines[0] = lines[0]!.slice(start.column - 1);
  const plain = (code: string) => code.replace(/\s+/g, ' ').slice(0, 160);
  return `\`${file}\`: \`${plain(lines.join('\n'))}\` → \`${plain(replacement)}\``;
}

/** @returns the numbers of mutants that were killed and that were not */
async function play(file: string, tests: string[], listed: string) {
  const source = await readFile(join(ROOT, file), 'utf8');
  const mutants = await mutantsOf(file, tests);
  const isAlive = ({ status }: Mutant) => status === 'Survived' || status === 'NoCoverage';
  const alive = mutants.filter(isAlive);
  const killed = mutants.filter(({ status }) => status === 'Killed' || status === 'Timeout').length;
  console.log(`${file}: ${killed} of ${killed + alive.length} killed`);
  for (const mutant of alive) {
    const line = lineOf(file, source, mutant);
    console.log(`  ${listed.includes(line) ? 'known' : 'NEW'}, line ${mutant.location.start.line}: ${line}`);
  }
  return { killed, alive: alive.length };
}

const listed = await readFile(join(import.meta.dirname, 'README.md'), 'utf8');
const wanted = process.argv.slice(2);
const all = { killed: 0, alive: 0 };
for (const [file, tests] of Object.entries(PURE_FILES)) {
  if (wanted.length > 0 && !wanted.some((part) => file.includes(part))) continue;
  const { killed, alive } = await play(file, tests, listed);
  all.killed += killed;
  all.alive += alive;
}
const percent = (100 * all.killed) / (all.killed + all.alive);
console.log(
  `all: ${all.killed} of ${all.killed + all.alive} killed, ${percent.toFixed(1)} % (at least ${GOAL_PERCENT} %)`,
);
if (!(percent >= GOAL_PERCENT)) process.exitCode = 1;
