import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeBadName } from '../stage/aws-names.ts';
import { JOBS_FOLDER } from '../stage/job-files.ts';
import { serviceName } from '../stage/service-name.ts';
import { complain, say } from '../terminal/print-lines.ts';
import { addBlock } from './stage-block.ts';

const STAGE = 'dev';
const STAGE_FILE = `infra/config/${STAGE}.yml`;

const root = join(import.meta.dirname, '../..');

/** Writes the files of a new job and its block. @returns what to do next @throws Error before it has written anything */
async function newJob([name, ...more]: string[]): Promise<string[]> {
  if (!name || more.length > 0) throw new Error('usage: npm run new-job <name>');
  const service = await serviceName(root);
  const bad = describeBadName(service, STAGE, name, 1);
  if (bad) throw new Error(`${name} ${bad}`);
  const files = { [`${JOBS_FOLDER}/${name}.ts`]: 'job.txt', [`test/jobs/${name}.test.ts`]: 'test.txt' };
  const present = Object.keys(files).filter((file) => existsSync(join(root, file)));
  if (present.length > 0) throw new Error(`there is ${present.join(' and ')} already`);
  const yaml = await readFile(join(root, STAGE_FILE), 'utf8');
  const withBlock = ((): string => {
    try {
      return addBlock(yaml, name, service, STAGE);
    } catch (error) {
      throw new Error(`${STAGE_FILE}: ${(error as Error).message}`, { cause: error });
    }
  })();

  for (const [file, template] of Object.entries(files)) {
    const text = await readFile(join(import.meta.dirname, template), 'utf8');
    await mkdir(dirname(join(root, file)), { recursive: true });
    await writeFile(join(root, file), text.replaceAll('NAME', name));
  }
  await writeFile(join(root, STAGE_FILE), withBlock);
  const [job, test] = Object.keys(files);
  return [
    `written: ${job}, ${test}, and jobs.${name} in ${STAGE_FILE}`,
    'next:',
    `  1. say in ${job} what a record is, where it comes from and where it goes (functions/README.md)`,
    `  2. adapt ${test}: node --test ${test}`,
    `  3. write the addresses into ${STAGE_FILE}, and a secret for this machine into .secrets/${name}.json`,
    `  4. npm run dev -- --job ${name}`,
    '  5. give it a block in the other stages, create its secrets, and deploy (infra/README.md)',
  ];
}

try {
  say(await newJob(process.argv.slice(2)));
} catch (error) {
  complain((error as Error).message);
  process.exitCode = 1;
}
