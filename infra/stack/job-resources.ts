import type { JobConfig } from '../stage/job-config.ts';
import { fill } from './fill.ts';
import { functionId } from './functions.ts';
import type { JobValues } from './job-values.ts';
import { leaveOut } from './optional.ts';
import { prefixed, type Resources } from './resources.ts';
import { divide } from './shards.ts';
import { resourcesOf } from './template.ts';

/** Returns the resources of one job beside its functions: roles, queues, schedules and alarms. */
export async function jobResources(config: JobConfig, values: JobValues): Promise<Resources> {
  const parts = await resourcesOf('roles.yml', 'queues.yml', 'schedule.yml', 'alarms.yml');
  leaveOut(parts, config);
  const resources = fill(parts, values);
  divide(resources, config.shards);
  return prefixed(resources, values.id, { SyncLambdaFunction: functionId(config.job, 'sync') });
}
