type Resources = Record<string, unknown>;

/**
 * Replaces the one schedule of infra/schedule.yml by one for each shard, with the shard in its input. A job that is not
 * divided keeps the one.
 * @param resources of the template; changed in place
 */
export function scheduleShards(resources: Resources, shards: number): void {
  if (shards === 1) return;
  const { SyncSchedule: schedule } = resources;
  delete resources.SyncSchedule;
  for (let index = 0; index < shards; index++) {
    const { Properties: properties, ...rest } = structuredClone(schedule) as { Properties: Properties };
    const { Name: name, Target: target } = properties;
    const input = JSON.stringify({ ...JSON.parse(target.Input), shard: { index, of: shards } });
    resources[`SyncSchedule${index}Of${shards}`] = {
      ...rest,
      Properties: { ...properties, Name: `${name}-${index}-of-${shards}`, Target: { ...target, Input: input } },
    };
  }
}

interface Properties {
  Name: string;
  Target: { Input: string };
}
