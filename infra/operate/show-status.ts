import type { Status } from '../../lib/run/status.ts';
import type { Lines } from '../terminal/print-lines.ts';
import { Refusal } from '../terminal/refusal.ts';
import type { Jobs } from './jobs.ts';
import { type JobStatus, statusTable } from './status-table.ts';

/**
 * Asks all jobs at a time for their status, and prints one table, or the answers as JSON.
 * @throws Refusal, when everything is printed, if a job did not answer
 */
export async function showStatus(jobs: Jobs, json: boolean, print: (lines: Lines) => void): Promise<void> {
  const all = await Promise.all(jobs.names.map((job) => askStatus(jobs, job)));
  if (json) print(JSON.stringify(all.map(answerOf), null, 2).split('\n'));
  else print([...statusTable(all, Date.now()), '"serverless status --job <job>" shows more of one']);
  const silent = all.flatMap((one) => ('error' in one ? [one.job] : []));
  if (silent.length > 0) throw new Refusal(`no status of ${silent.join(', ')}`);
}

/** Asks one job for its status. A job that does not answer has the reason instead. */
export async function askStatus(jobs: Jobs, job: string): Promise<JobStatus> {
  try {
    return { job, status: await jobs.of(job).control({ action: 'status' }) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { job, error: error.message };
  }
}

const answerOf = (one: JobStatus): Status | JobStatus => ('status' in one ? one.status : one);
