import type { JobBlock, StageFile } from './stage-file.ts';

/** The keys that every job needs, here or at the top. */
const REQUIRED = ['memoryMb', 'timeoutSeconds', 'logRetentionDays', 'alarms', 'dashboard'] as const;

/** The dead man's switch waits for three ticks of 15 minutes, unless the file says otherwise. */
const DEFAULT_ALARM_MINUTES = 45;

type Required = (typeof REQUIRED)[number];

/** A job's block with what it takes over from the top of the file. */
export type MergedJob = Omit<JobBlock, Required | 'alarmWithoutSuccessMinutes' | 'settings'> & {
  [key in Required]: NonNullable<JobBlock[key]>;
} & {
  alarmWithoutSuccessMinutes: number;
  /** As the file writes them, because they go into the function's environment. */
  settings: Record<string, string>;
};

/** The keys that neither the top of the file has nor each of its jobs. */
export const missingKeys = ({ jobs, ...top }: StageFile): string[] =>
  REQUIRED.filter((key) => top[key] === undefined && Object.values(jobs).some((job) => job[key] === undefined));

/** What holds for one job: its own keys, and behind them those of the top. */
export function mergeJob(
  { jobs: _jobs, settings: _ofAll, ...top }: StageFile,
  { settings: _own, ...job }: JobBlock,
): Omit<MergedJob, 'settings'> {
  return { alarmWithoutSuccessMinutes: DEFAULT_ALARM_MINUTES, ...top, ...job } as Omit<MergedJob, 'settings'>;
}
