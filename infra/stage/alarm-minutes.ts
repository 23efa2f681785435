import type { StageConfig } from './stage-config.ts';

/**
 * After how many minutes without a success the alarm goes off, 0 for never: what the file says, but not before a tick can
 * have come and run, so that a longer interval is still one line to change.
 */
export function alarmMinutes(
  config: Pick<
    StageConfig,
    'alarms' | 'alarmWithoutSuccessMinutes' | 'schedule' | 'timeoutSeconds' | 'minIntervalSeconds' | 'gaps'
  >,
): number {
  const { alarms, alarmWithoutSuccessMinutes, schedule, timeoutSeconds, gaps, minIntervalSeconds = 0 } = config;
  if (!alarms || !schedule.enabled || alarmWithoutSuccessMinutes === 0) return 0;
  const apartSeconds = minIntervalSeconds + gaps.longestSeconds + timeoutSeconds;
  return Math.max(alarmWithoutSuccessMinutes, Math.ceil(apartSeconds / 60) + schedule.flexibleWindowMinutes);
}
