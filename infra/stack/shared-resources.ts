import { backfillAlarms } from './backfill-alarms.ts';
import { fill } from './fill.ts';
import { functionId, logGroupId } from './functions.ts';
import type { JobValues } from './job-values.ts';
import { prefixed, type Resources } from './resources.ts';
import { resourcesOf } from './template.ts';

const arnOf = (id: string) => ({ 'Fn::GetAtt': [id, 'Arn'] });

/** The most log groups of one query. */
const MAX_LOG_GROUPS = 50;

/**
 * Returns what jobs have in common beside the dashboard: the role of the schedules, saved queries, the alarms of backfills,
 * topics, and endpoints in networks.
 */
export async function sharedResources(jobs: JobValues[]): Promise<Resources> {
  const role = fill(await resourcesOf('schedule-role.yml'), {
    functions: jobs.map(({ job }) => arnOf(functionId(job, 'sync'))),
    undelivered: jobs.map(({ id }) => arnOf(`${id}SyncScheduleUndelivered`)),
  });
  return Object.assign(
    role,
    await queries(jobs),
    await backfillAlarms(jobs),
    await topics(jobs),
    await endpoints(jobs),
  );
}

/** They are over the logs of all ticks, and of as many jobs' backfills as a query takes. */
async function queries(jobs: JobValues[]): Promise<Resources> {
  const [first] = jobs;
  if (!first) return {};
  const { service, stage } = first;
  const groups = (['sync', 'backfill'] as const).flatMap((kind) => jobs.map(({ job }) => logGroupId(job, kind)));
  const logGroups = groups.slice(0, MAX_LOG_GROUPS).map((id) => ({ Ref: id }));
  return fill(await resourcesOf('queries.yml'), { service, stage, logGroups });
}

/** A topic for the address of the stage's file, and one for each job with an address of its own. */
async function topics(jobs: JobValues[]): Promise<Resources> {
  const mailed = jobs.filter(({ alarms, alarmAddress }) => alarms && alarmAddress !== undefined);
  const notification = await resourcesOf('notification.yml');
  const made = [...Map.groupBy(mailed, ({ topic }) => topic).values()].map(([first]) => {
    const { own, id, prefix, service, stage, alarmAddress } = first!;
    const topic = own.alarmAddress ? `${prefix}-alarms` : `${service}-${stage}-alarms`;
    return prefixed(fill(notification, { topic, alarmAddress }), own.alarmAddress ? id : '', {});
  });
  return Object.assign({}, ...made);
}

/** An endpoint for the network of the stage's file, and one for each job with a network of its own. */
async function endpoints(jobs: JobValues[]): Promise<Resources> {
  const inside = jobs.filter(({ vpc }) => vpc?.secretsEndpoint);
  const network = await resourcesOf('network.yml');
  const made = [...Map.groupBy(inside, ({ endpoint }) => endpoint).values()].map((users) => {
    const { own, id, service, stage, vpc } = users[0]!;
    const ingress = vpc!.securityGroupIds.map((group) => ({
      ...{ IpProtocol: 'tcp', FromPort: 443, ToPort: 443, SourceSecurityGroupId: group },
      Description: 'HTTPS from the functions',
    }));
    const statements = users.map(({ id, secretId }) => ({
      Effect: 'Allow',
      Principal: { AWS: ['Sync', 'Backfill', 'Control'].map((name) => arnOf(`${id}${name}Role`)) },
      Action: 'secretsmanager:GetSecretValue',
      Resource: {
        'Fn::Sub': `arn:\${AWS::Partition}:secretsmanager:\${AWS::Region}:\${AWS::AccountId}:secret:${secretId}-??????`,
      },
    }));
    return prefixed(fill(network, { service, stage, vpc, ingress, statements }), own.vpc ? id : '', {});
  });
  return Object.assign({}, ...made);
}
