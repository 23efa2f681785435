import type { StageConfig } from '../stage/stage-config.ts';
import { StageError } from '../stage/stage-error.ts';
import { dashboard } from './dashboard.ts';
import { type FunctionDefinition, functionsOf } from './functions.ts';
import { jobResources } from './job-resources.ts';
import { jobValues } from './job-values.ts';
import type { Resources } from './resources.ts';
import { sharedResources } from './shared-resources.ts';

/** What serverless.yml takes over as `functions` and `resources`. */
export interface Stack {
  functions: Record<string, FunctionDefinition>;
  resources: { Resources: Resources };
}

/** CloudFormation's limit for a template. */
const MAX_RESOURCES = 500;

/** What osls adds: for deployments, a bucket and its policy. */
const OF_SERVICE = 2;

/**
 * Makes the functions and resources of a stage: those of each job, and what they share.
 * @throws StageError if they are too many
 */
export async function stackOf(config: StageConfig): Promise<Stack> {
  const values = config.jobs.map((job) => jobValues(config, job));
  const functions = Object.assign({}, ...values.map(functionsOf));
  const ofJobs = await Promise.all(config.jobs.map((job, index) => jobResources(job, values[index]!)));
  const resources = unite([...ofJobs, await sharedResources(values)]);
  Object.assign(resources, await dashboard(values, resources));
  const count = Object.keys(resources).length + countOf(functions) + OF_SERVICE;
  if (count > MAX_RESOURCES)
    throw new StageError(`infra/config/${config.stage}.yml`, [
      `its jobs and shards need ${count} resources, and one stack of CloudFormation takes ${MAX_RESOURCES}: use fewer ` +
        'shards, leave alarms out (alarms: false), or give some jobs to a second service, which is another clone with ' +
        'another service in serverless.yml',
    ]);
  return { functions, resources: { Resources: resources } };
}

function unite(parts: Resources[]): Resources {
  const all: Resources = {};
  for (const [id, resource] of parts.flatMap((part) => Object.entries(part))) {
    if (id in all) throw new Error(`infra/stack: two resources have the id ${id}`);
    all[id] = resource;
  }
  return all;
}

/** What osls makes of functions: each has a log group, and those with a destination a configuration of asynchronous events. */
const countOf = (functions: Record<string, FunctionDefinition>) =>
  Object.values(functions).reduce((sum, { destinations }) => sum + (destinations ? 3 : 2), 0);
