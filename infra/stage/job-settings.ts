import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Job } from '../../lib/job-types.ts';
import { readSettings, type Settings, settingsTable } from '../../lib/settings/config.ts';
import { ownSettingNames } from '../../lib/settings/own-settings.ts';
import { blocksOf, settingsOf, type WrittenFile } from './written-file.ts';

/** These come from elsewhere: the names of stage, service and block, `secretId`, `shards`, and the queue in the template. */
const FROM_ELSEWHERE: readonly string[] = ['STAGE', 'SERVICE', 'SECRET_ID', 'SHARDS', 'JOB', 'DEAD_LETTER_QUEUE_URL'];

/** Loads a job of a project. @throws JobError or SettingsError that names its file */
export async function loadProjectJob(project: string, name: string): Promise<Job<unknown>> {
  const loader = pathToFileURL(join(project, 'functions/load-job.ts'));
  const { loadJob }: typeof import('../../functions/load-job.ts') = await import(loader.href);
  return loadJob(name);
}

/** The names that a job's settings may have in a stage's file: those of every job, and its own. */
export const knownSettings = (job: Job<unknown>): Set<string> =>
  new Set([...Object.keys(settingsTable), ...ownSettingNames(job)].filter((name) => !FROM_ELSEWHERE.includes(name)));

/** A job's settings in a file: its own block's go before those at the top, of which some are only other jobs'. */
export function mergedSettings(file: WrittenFile, job: Job<unknown>): Record<string, string> {
  const known = knownSettings(job);
  const block = blocksOf(file).get(job.name) ?? {};
  const merged = { ...settingsOf(file), ...settingsOf(block) };
  return Object.fromEntries(Object.entries(merged).filter(([name]) => known.has(name)));
}

/** Reads a job's settings as its functions will. @throws SettingsError */
export const settingsIn = (file: WrittenFile, job: Job<unknown>, stage: string): Settings =>
  readSettings({ ...mergedSettings(file, job), STAGE: stage, SECRET_ID: 'checked elsewhere' }, job);

/** Says what is wrong with the settings of the jobs in a file. */
export function settingFaults(file: WrittenFile, jobs: readonly Job<unknown>[], stage: string): string[] {
  const blocks = blocksOf(file);
  const known = new Set(jobs.flatMap((job) => [...knownSettings(job)]));
  const strange = (at: string, settings: Record<string, string>, names: Set<string>) =>
    Object.keys(settings).flatMap((name) => (names.has(name) ? [] : [`${at}settings.${name} is not a known key`]));
  const faults = strange('', settingsOf(file), known);
  for (const job of jobs) {
    faults.push(...strange(`jobs.${job.name}.`, settingsOf(blocks.get(job.name) ?? {}), knownSettings(job)));
    try {
      settingsIn(file, job, stage);
    } catch (error) {
      faults.push(`jobs.${job.name}: ${(error as Error).message}`);
    }
  }
  return faults;
}
