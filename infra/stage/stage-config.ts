import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Job } from '../../lib/job-types.ts';
import { describeBadName } from './aws-names.ts';
import { idleAddresses } from './contradictions.ts';
import { type JobConfig, jobConfig } from './job-config.ts';
import { JOBS_FOLDER, jobFiles } from './job-files.ts';
import { loadProjectJob, settingFaults } from './job-settings.ts';
import { missingKeys } from './merged.ts';
import { serviceName } from './service-name.ts';
import { StageError } from './stage-error.ts';
import { describeFault, stageFile } from './stage-file.ts';
import { blocksOf, parseStageFile, type WrittenBlock, type WrittenFile } from './written-file.ts';

/** A stage's checked file. */
export interface StageConfig {
  service: string;
  stage: string;
  /** One for each block, in the order of the file. */
  jobs: JobConfig[];
}

/** More would not fit into one stack of CloudFormation. */
const MAX_JOBS = 20;

/**
 * Reads and checks `infra/config/<stage>.yml` of the project in a folder, and the files of the jobs that it names.
 * @throws StageError that names the file and every key that is missing, unknown or malformed
 */
export async function readStageConfig(
  stage: string,
  project: string = join(import.meta.dirname, '../..'),
): Promise<StageConfig> {
  const folder = join(project, 'infra/config');
  const name = `infra/config/${stage}.yml`;
  const stages = (await readdir(folder)).flatMap((file) => (file.endsWith('.yml') ? [file.slice(0, -4)] : []));
  if (!stages.includes(stage))
    throw new Error(`there is no ${name}: every stage needs a file, and there are: ${stages.join(', ')}`);
  const service = await serviceName(project);
  const written = parsed(name, await readFile(join(folder, `${stage}.yml`), 'utf8'));
  const checked = v.safeParse(stageFile, written, { abortPipeEarly: true });
  const loaded = await loadJobs(blocksOf(written), { service, stage, project });
  const faults = [
    ...(checked.success
      ? [...missingKeys(checked.output).map((key) => `${key} is missing`), ...idleAddresses(checked.output)]
      : checked.issues.map(describeFault)),
    ...loaded.faults,
    ...(loaded.faults.length === 0 && loaded.jobs.length > 0 ? settingFaults(written, loaded.jobs, stage) : []),
  ];
  if (faults.length > 0 || !checked.success) throw new StageError(name, faults);

  const jobs: JobConfig[] = [];
  for (const job of loaded.jobs) {
    const config = jobConfig(checked.output, job, stage);
    if (Array.isArray(config)) faults.push(...config);
    else jobs.push(config);
  }
  if (faults.length > 0) throw new StageError(name, faults);
  return { service, stage, jobs };
}

function parsed(name: string, yaml: string): WrittenFile {
  try {
    return parseStageFile(yaml);
  } catch (error) {
    throw new StageError(name, [`it is not YAML: ${(error as Error).message}`], { cause: error });
  }
}

/** Loads the jobs that have blocks, or says why they cannot be deployed under their names. */
async function loadJobs(
  blocks: Map<string, WrittenBlock>,
  { service, stage, project }: { service: string; stage: string; project: string },
): Promise<{ jobs: Job<unknown>[]; faults: string[] }> {
  if (blocks.size > MAX_JOBS) {
    const fault = `jobs has ${blocks.size} blocks, and one stack takes ${MAX_JOBS}`;
    const remedy =
      'give some of them to a second service, which is another clone with another service in serverless.yml';
    return { jobs: [], faults: [`${fault}: ${remedy}`] };
  }
  const files = await jobFiles(project);
  const jobs: Job<unknown>[] = [];
  const faults: string[] = [];
  for (const [name, { shards }] of blocks) {
    const bad = describeBadName(service, stage, name, Number(shards) || 1);
    if (bad) faults.push(`jobs.${name} ${bad}`);
    else if (!files.has(name))
      faults.push(
        `jobs.${name} has no file ${JOBS_FOLDER}/${name}.ts; there are: ${[...files.keys()].join(', ') || 'none'}`,
      );
    else
      await loadProjectJob(project, name).then(
        (job) => jobs.push(job),
        (error: Error) => faults.push(`jobs.${name}: ${error.message}`),
      );
  }
  return { jobs, faults };
}
