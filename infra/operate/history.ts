import type { Lines } from '../terminal/print-lines.ts';
import { Refusal } from '../terminal/refusal.ts';
import { historyTable } from './history-table.ts';
import type { Jobs } from './jobs.ts';
import { askStatus } from './show-status.ts';

/**
 * Prints the last runs of jobs, the newest first, as a table for each job, or as JSON.
 * @param names the jobs to ask, all at a time
 * @throws Refusal, when everything is printed, if a job did not answer
 */
export async function showHistory(
  jobs: Jobs,
  names: readonly string[],
  json: boolean,
  print: (lines: Lines) => void,
): Promise<void> {
  const all = await Promise.all(names.map((job) => askStatus(jobs, job)));
  // A function that was deployed earlier answers no history.
  const histories = all.map((one) => ('error' in one ? one : { job: one.job, history: one.status.history ?? [] }));
  if (json) print(JSON.stringify(histories, null, 2).split('\n'));
  else
    for (const one of histories) {
      if (names.length > 1) print(`${one.job}:`);
      print('error' in one ? one.error : historyTable(one.history));
    }
  const silent = histories.flatMap((one) => ('error' in one ? [one.job] : []));
  if (silent.length > 0) throw new Refusal(`no history of ${silent.join(', ')}`);
}
