import { Refusal } from './refusal.ts';

/** Returns the job that `--job` names; it may be left out where there is one. @throws Refusal that lists the jobs */
export function chooseJob(jobs: readonly string[], wanted: string | undefined): string {
  const choices = jobs.map((job) => `--job ${job}`).join(', or ');
  if (wanted !== undefined && !jobs.includes(wanted)) throw new Refusal(`there is no job ${wanted}: say ${choices}`);
  const [only] = jobs;
  const chosen = wanted ?? (jobs.length === 1 ? only : undefined);
  if (chosen === undefined) throw new Refusal(`say which job: ${choices}`);
  return chosen;
}
