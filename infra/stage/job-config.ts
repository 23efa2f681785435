import type { Job } from '../../lib/job-types.ts';
import { contradictions } from './contradictions.ts';
import { mergedSettings, settingsIn } from './job-settings.ts';
import { type MergedJob, mergeJob } from './merged.ts';
import type { StageFile } from './stage-file.ts';
import { type TickGaps, tickGaps } from './tick-gaps.ts';

/** What holds for one job of a stage, with what follows from it. */
export interface JobConfig extends MergedJob {
  job: string;
  /** Whether address and network are those of the job's own block. */
  own: { alarmAddress: boolean; vpc: boolean };
  /** DEADLINE_RESERVE_SECONDS, the default included. */
  deadlineReserveSeconds: number;
  /** SKIPS_BEFORE_WARNING, the default included. */
  skipsBeforeWarning: number;
  /** MIN_INTERVAL_SECONDS, if the file sets it. */
  minIntervalSeconds?: number | undefined;
  /** Whether the job can find that records have vanished at the source. */
  listsTarget: boolean;
  gaps: TickGaps;
}

/** Returns what holds for a job, or what is wrong with its keys. */
export function jobConfig(file: StageFile, job: Job<unknown>, stage: string): JobConfig | string[] {
  const { name } = job;
  const block = file.jobs[name]!;
  const merged = { ...mergeJob(file, block), settings: mergedSettings(file, job) };
  let gaps: TickGaps;
  try {
    gaps = tickGaps(merged.schedule.expression, merged.schedule.timezone);
  } catch (error) {
    const { message } = error as Error;
    return [`jobs.${name}.schedule.expression is not valid in EventBridge Scheduler: ${message}`];
  }
  const settings = settingsIn(file, job, stage);
  const faults = contradictions(merged, settings, gaps);
  if (faults.length > 0) return faults.map((fault) => `jobs.${name}: ${fault}`);
  const { deadlineReserveSeconds, skipsBeforeWarning, minIntervalSeconds } = settings;
  return {
    ...{ ...merged, job: name, gaps, deadlineReserveSeconds, skipsBeforeWarning, minIntervalSeconds },
    listsTarget: job.target.list !== undefined,
    own: { alarmAddress: block.alarmAddress !== undefined, vpc: block.vpc !== undefined },
  };
}
