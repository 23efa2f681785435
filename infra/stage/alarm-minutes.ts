import type { TickGaps } from './tick-gaps.ts';

/** The keys of a stage's file that decide when the alarm goes off. */
interface AlarmConfig {
  alarms: boolean;
  alarmWithoutSuccessMinutes: number;
  schedule: { enabled: boolean; flexibleWindowMinutes: number };
  timeoutSeconds: number;
  minIntervalSeconds?: number | undefined;
  gaps: TickGaps;
}

/**
 * Returns after how many minutes without a success the alarm goes off; 0 means never. It waits at least until the next tick
 * is due and has run, so that a longer interval needs no second change in the file.
 */
export function alarmMinutes(config: AlarmConfig): number {
  const { alarms, alarmWithoutSuccessMinutes, schedule, timeoutSeconds, gaps, minIntervalSeconds = 0 } = config;
  if (!alarms || !schedule.enabled || alarmWithoutSuccessMinutes === 0) return 0;
  const apartSeconds = minIntervalSeconds + gaps.longestSeconds + timeoutSeconds;
  return Math.max(alarmWithoutSuccessMinutes, Math.ceil(apartSeconds / 60) + schedule.flexibleWindowMinutes);
}
