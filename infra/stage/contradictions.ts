import { alarmMinutes } from './alarm-minutes.ts';
import type { MergedJob } from './merged.ts';
import { MAX_ALARM_MINUTES, type StageFile } from './stage-file.ts';
import type { TickGaps } from './tick-gaps.ts';

/** The settings, read, that other keys have to fit. */
export interface TimeSettings {
  deadlineReserveSeconds: number;
  startingDeadlineSeconds?: number | undefined;
  minIntervalSeconds?: number | undefined;
}

/** Names the keys of a job that are valid by themselves and do not fit each other. */
export function contradictions({ schedule, ...job }: MergedJob, settings: TimeSettings, gaps: TickGaps): string[] {
  const { startingDeadlineSeconds: startingSeconds, deadlineReserveSeconds: reserveSeconds } = settings;
  const windowSeconds = schedule.flexibleWindowMinutes * 60;
  const faults: string[] = [];
  if (startingSeconds !== undefined && startingSeconds <= windowSeconds) {
    faults.push(
      `settings.STARTING_DEADLINE_SECONDS is ${startingSeconds}, but must be above the ${windowSeconds} s of ` +
        'schedule.flexibleWindowMinutes: a tick may come that late',
    );
  }
  if (reserveSeconds >= job.timeoutSeconds) {
    faults.push(
      `settings.DEADLINE_RESERVE_SECONDS is ${reserveSeconds}, but must be below timeoutSeconds, which is ` +
        `${job.timeoutSeconds}: a run would have no time to work`,
    );
  }
  const { minIntervalSeconds } = settings;
  if (alarmMinutes({ schedule, ...job, minIntervalSeconds, gaps }) > MAX_ALARM_MINUTES) {
    faults.push(
      'alarmWithoutSuccessMinutes must be 0, which leaves this alarm out: ticks of schedule.expression are up to ' +
        `${Math.round(gaps.longestSeconds / 86_400)} days apart, and CloudWatch looks back 7 days at most`,
    );
  }
  return faults;
}

/** Names each address to which no alarm goes. */
export function idleAddresses(file: StageFile): string[] {
  const { jobs, alarms, alarmAddress } = file;
  const hasAlarms = (job: { alarms?: boolean | undefined }) => job.alarms ?? alarms ?? false;
  const idle = Object.entries(jobs).flatMap(([name, job]) =>
    job.alarmAddress !== undefined && !hasAlarms(job) ? [`jobs.${name}.alarmAddress`] : [],
  );
  if (alarmAddress !== undefined && !Object.values(jobs).some(hasAlarms)) idle.unshift('alarmAddress');
  return idle.map((key) => `${key} has no effect while alarms is false`);
}
