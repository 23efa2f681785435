import { fill } from './fill.ts';
import type { JobValues } from './job-values.ts';
import type { Resources } from './resources.ts';
import { resourcesOf } from './template.ts';

/** An alarm watches ten metrics. */
const MAX_JOBS = 10;

/** Returns the alarms of backfills that were given up: one for ten jobs that notify the same topic. */
export async function backfillAlarms(jobs: JobValues[]): Promise<Resources> {
  const template = await resourcesOf('backfill-alarm.yml');
  const watched = jobs.filter(({ alarms }) => alarms);
  const byTopic = Map.groupBy(watched, ({ alarmActions, topic }) => (alarmActions.length > 0 ? topic : ''));
  const groups = [...byTopic.values()].flatMap((users) =>
    Array.from({ length: Math.ceil(users.length / MAX_JOBS) }, (_, index) =>
      users.slice(index * MAX_JOBS, (index + 1) * MAX_JOBS),
    ),
  );
  const alarms = groups.map((group, index) => {
    const [{ service, stage, alarmActions }] = group as [JobValues, ...JobValues[]];
    const [id, suffix] =
      index === 0 ? ['BackfillFailedAlarm', ''] : [`BackfillFailedAlarm${index + 1}`, `-${index + 1}`];
    const made = fill(template, {
      ...{ stage, alarmActions, name: `${service}-${stage}-backfill-failed${suffix}` },
      ...{ jobs: group.map(({ job }) => job).join(', '), metrics: failures(group) },
    });
    return { [id]: made.BackfillFailedAlarm! };
  });
  return Object.assign({}, ...alarms);
}

/** How many backfills of these jobs were given up, as CloudWatch adds metrics up. */
const failures = (jobs: JobValues[]) => [
  { Id: 'failed', Label: 'BackfillFailed', Expression: 'SUM(FILL(METRICS(), 0))', ReturnData: true },
  ...jobs.map(({ stage, job }, index) => ({
    Id: `job${index + 1}`,
    ReturnData: false,
    MetricStat: {
      Stat: 'Sum',
      Period: 300,
      Metric: {
        Namespace: 'solotick',
        MetricName: 'BackfillFailed',
        Dimensions: [
          { Name: 'stage', Value: stage },
          { Name: 'job', Value: job },
          { Name: 'kind', Value: 'backfill' },
        ],
      },
    },
  })),
];
