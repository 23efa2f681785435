import type { Log } from './log.ts';

/** Counts of one invocation; `read = written + invalid + failed + unsettled`. A type, because it is stored as a record. */
export type Report = {
  read: number;
  written: number;
  invalid: number;
  failed: number;
  missing: number;
  unsettled: number;
  pages: number;
  peakInFlight: number;
  durationMs: number;
};

/** A record that was not written, and why. */
export interface Problem {
  id: string;
  kind: 'invalid' | 'failed' | 'missing';
  reason: string;
}

export const newReport = (): Report => ({
  read: 0,
  written: 0,
  invalid: 0,
  failed: 0,
  missing: 0,
  unsettled: 0,
  pages: 0,
  peakInFlight: 0,
  durationMs: 0,
});

/** How many problems are listed and logged; the counts are always complete. */
const MAX_PROBLEMS = 20;

/** Gives the function that adds to `problems` and logs, both within a bound. */
export function problemNotes(problems: Problem[], log: Log): (problem: Problem) => void {
  return (problem) => {
    if (problems.length >= MAX_PROBLEMS) return;
    problems.push(problem);
    log.warn(`a record was not written: ${problem.kind}`, { problem });
    if (problems.length === MAX_PROBLEMS) log.warn('further records that are not written are counted, but not listed');
  };
}
