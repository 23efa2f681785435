import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { runs: { type: 'string' }, seed: { type: 'string' } } });
const runs = values.runs ?? '10000';
const seed = values.seed ?? String(Date.now() % 1_000_000_000);
console.log(`each border ${runs} times; the same draws again with --runs ${runs} --seed ${seed}`);
const files = globSync(join(import.meta.dirname, '*.test.ts'));
const env = { ...process.env, FUZZ_RUNS: runs, FUZZ_SEED: seed };
process.exitCode = spawnSync(process.execPath, ['--test', ...files], { env, stdio: 'inherit' }).status ?? 1;
