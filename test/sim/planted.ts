import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const FAULTS = join(import.meta.dirname, 'faults');
/** What a copy needs to play histories. */
const COPIED = [
  'package.json',
  'lib',
  'functions',
  'test/sim',
  'infra/local/demo/jobs',
  'test/support/job.ts',
  'test/support/random.ts',
];

/** What became of a planted fault. */
interface Found {
  fault: string;
  /** The number of runs until it was found; undefined where it was not. */
  runs?: number;
  /** What it violates, or why it could not be planted. */
  what: string;
}

/**
 * Plants each fault of `faults/` in a copy of `lib` and plays until something is violated, and prints a table.
 * @returns whether every fault was found
 */
export async function playPlanted(first: number, runs: number): Promise<boolean> {
  const faults = await listFaults();
  const left = faults.values();
  const all: Found[] = [];
  console.log(`${faults.length} planted faults, each in up to ${runs} runs from seed ${first} on`);
  const lane = async () => {
    for (const fault of left) {
      const found = await playPlantedFault(fault, first, runs);
      all.push(found);
      const after = found.runs === undefined ? 'NOT FOUND' : `after ${found.runs}`;
      console.log(`${fault.replace('.patch', '').padEnd(44)} ${after.padEnd(12)} ${found.what.slice(0, 120)}`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  const found = all.filter((one) => one.runs !== undefined).length;
  console.log(`${found} of ${faults.length} found`);
  return found === faults.length;
}

/** The files of all faults. */
export const listFaults = async (): Promise<string[]> =>
  (await readdir(FAULTS)).filter((name) => name.endsWith('.patch')).sort();

const applying = (fault: string, ...options: string[]) => ['apply', '-C1', ...options, join(FAULTS, fault)];

/** @throws Error where the code has changed since a fault was written, so that it cannot be planted */
export async function checkFits(fault: string): Promise<void> {
  await run('git', applying(fault, '--check'), { cwd: ROOT });
}

/** Plants one fault, given by its file's name, and plays until something is violated. */
export async function playPlantedFault(fault: string, first: number, runs: number): Promise<Found> {
  const copy = await mkdtemp(join(tmpdir(), 'solotick-planted-'));
  try {
    for (const path of COPIED) await cp(join(ROOT, path), join(copy, path), { recursive: true });
    await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    await run('git', applying(fault), { cwd: copy });
    for (let played = 0; played < runs; ) {
      const found = await firstFailure(copy, first + played, runs - played);
      if (found.runs === undefined) return { fault, what: found.what };
      played += found.runs;
      // A seed that fails without the fault as well says nothing about it, and something about lib.
      const alone = await firstFailure(ROOT, first + played - 1, 1);
      if (alone.runs === undefined) return { fault, runs: played, what: found.what };
      console.log(`seed ${first + played - 1} fails without a fault: ${alone.what}`);
    }
    return { fault, what: `${runs} runs, no violation` };
  } catch (error) {
    return { fault, what: (error as Error).message };
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

async function firstFailure(root: string, first: number, runs: number): Promise<Omit<Found, 'fault'>> {
  const script = join(root, 'test/sim/first-failure.ts');
  const { stdout } = await run(process.execPath, [script, String(first), String(runs)], { maxBuffer: 2 ** 26 });
  return JSON.parse(stdout.trim().split('\n').at(-1)!);
}
