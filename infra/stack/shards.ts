import type { Resources } from './optional.ts';

/**
 * Replaces the one schedule of infra/stack/schedule.yml by one for each shard, with the shard in its input, and the dead man's
 * switch of infra/stack/alarms.yml by one for each as well: a shard that is dead must not hide behind the others. A job that is
 * not divided keeps the one.
 * @param resources of the template; changed in place
 */
export function divide(resources: Resources, shards: number): void {
  if (shards === 1) return;
  const { SyncSchedule: schedule, NoSuccessAlarm: alarm } = resources;
  delete resources.SyncSchedule;
  delete resources.NoSuccessAlarm;
  for (let index = 0; index < shards; index++) {
    const shard = { index, of: shards };
    const name = `${index}-of-${shards}`;
    if (schedule) resources[`SyncSchedule${index}Of${shards}`] = scheduleOf(schedule as Schedule, shard, name);
    if (alarm) resources[`NoSuccessAlarm${index}Of${shards}`] = alarmOf(alarm as Alarm, name);
  }
}

interface Schedule {
  Type: string;
  Properties: { Name: string; Target: { Input: string } };
}

function scheduleOf(schedule: Schedule, shard: { index: number; of: number }, name: string): Schedule {
  const own = structuredClone(schedule);
  const { Target: target } = own.Properties;
  own.Properties.Name += `-${name}`;
  target.Input = JSON.stringify({ ...JSON.parse(target.Input), shard });
  return own;
}

interface Alarm {
  Type: string;
  Properties: { AlarmName: string; Metrics: { MetricStat?: { Metric: { Dimensions: object[] } } }[] };
}

function alarmOf(alarm: Alarm, name: string): Alarm {
  const own = structuredClone(alarm);
  own.Properties.AlarmName += `-${name}`;
  // As lib/run/metrics.ts names a shard.
  for (const { MetricStat: stat } of own.Properties.Metrics)
    stat?.Metric.Dimensions.push({ Name: 'shard', Value: name });
  return own;
}
