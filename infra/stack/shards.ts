import type { Resources } from './resources.ts';

/**
 * Replaces the schedule of infra/stack/schedule.yml by one for each shard, with the shard in its input, and the no-success
 * alarm of infra/stack/alarms.yml as well, so that a dead shard does not hide behind the others. With one shard, both stay.
 * @param resources changed in place
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
  // lib/run/metrics.ts names a shard in this dimension.
  for (const { MetricStat: stat } of own.Properties.Metrics)
    stat?.Metric.Dimensions.push({ Name: 'shard', Value: name });
  return own;
}
