import { alarmMinutes } from './alarm-minutes.ts';
import { MAX_ALARM_MINUTES, type StageFile } from './stage-file.ts';
import type { TickGaps } from './tick-gaps.ts';

/** Names the keys of a stage's file that are valid by themselves and do not fit each other. */
export function contradictions({ schedule, settings, ...file }: StageFile, gaps: TickGaps): string[] {
  const { STARTING_DEADLINE_SECONDS: startingSeconds, DEADLINE_RESERVE_SECONDS: reserveSeconds } = settings;
  const windowSeconds = schedule.flexibleWindowMinutes * 60;
  const faults: string[] = [];
  if (startingSeconds !== undefined && startingSeconds <= windowSeconds) {
    faults.push(
      `settings.STARTING_DEADLINE_SECONDS is ${startingSeconds}, but must be above the ${windowSeconds} s of ` +
        'schedule.flexibleWindowMinutes: a tick may come that late',
    );
  }
  if (reserveSeconds >= file.timeoutSeconds) {
    faults.push(
      `settings.DEADLINE_RESERVE_SECONDS is ${reserveSeconds}, but must be below timeoutSeconds, which is ` +
        `${file.timeoutSeconds}: a run would have no time to work`,
    );
  }
  const minIntervalSeconds = settings.MIN_INTERVAL_SECONDS;
  if (alarmMinutes({ schedule, ...file, minIntervalSeconds, gaps }) > MAX_ALARM_MINUTES) {
    faults.push(
      'alarmWithoutSuccessMinutes must be 0, which leaves this alarm out: ticks of schedule.expression are up to ' +
        `${Math.round(gaps.longestSeconds / 86_400)} days apart, and CloudWatch looks back 7 days at most`,
    );
  }
  if (file.alarmAddress !== undefined && !file.alarms) {
    faults.push('alarmAddress has no effect while alarms is false');
  }
  return faults;
}
