import { alarmMinutes } from '../stage/alarm-minutes.ts';
import { logicalName, namePrefix } from '../stage/aws-names.ts';
import type { JobConfig } from '../stage/job-config.ts';
import type { StageConfig } from '../stage/stage-config.ts';

/** Lambda and EventBridge Scheduler accept maximum event ages in this range. */
const MIN_EVENT_AGE_SECONDS = 60;
const MAX_EVENT_AGE_SECONDS = 21_600;

/** The longest period of an alarm. */
const MAX_PERIOD_SECONDS = 86_400;

/** With periods shorter than an hour, CloudWatch looks back a day at most. */
const MAX_ONE_MINUTE_PERIODS = 24 * 60;

/** What the templates of this folder and the functions need of one job, in CloudFormation's terms. */
export type JobValues = ReturnType<typeof jobValues>;

/** Translates what a stage's file says of a job into CloudFormation's terms. */
export function jobValues({ service, stage }: Pick<StageConfig, 'service' | 'stage'>, config: JobConfig) {
  const { job, schedule, settings, vpc, gaps, own } = config;
  const { enabled, flexibleWindowMinutes: minutes, ...timing } = schedule;
  const flexibleTimeWindow = minutes === 0 ? { Mode: 'OFF' } : { Mode: 'FLEXIBLE', MaximumWindowInMinutes: minutes };
  const id = logicalName(job);
  /** The ids of the topic and of the endpoint, which jobs share unless their own block names another one. */
  const topic = own.alarmAddress ? `${id}AlarmTopic` : 'AlarmTopic';
  const endpoint = own.vpc ? `${id}SecretsEndpoint` : 'SecretsEndpoint';
  return {
    ...config,
    ...{ service, stage, id, prefix: namePrefix(service, stage, job), topic, endpoint },
    schedule: { ...timing, state: enabled ? 'ENABLED' : 'DISABLED', flexibleTimeWindow },
    // A tick that is not delivered before the next one is due has become useless.
    eventAgeSeconds: Math.min(Math.max(gaps.shortestSeconds, MIN_EVENT_AGE_SECONDS), MAX_EVENT_AGE_SECONDS),
    environment: {
      ...{
        JOB: job,
        STAGE: stage,
        SERVICE: service,
        SECRET_ID: config.secretId,
        SHARDS: String(config.shards),
        ...settings,
      },
      ...(vpc?.secretsEndpoint && { AWS_ENDPOINT_URL_SECRETS_MANAGER: urlOf(endpoint) }),
    },
    alarmActions: config.alarmAddress === undefined ? [] : [{ Ref: topic }],
    // An alarm lasts until the next tick can confirm or end it, with five minutes for its metrics to arrive.
    signalSeconds: Math.min(Math.max(Math.ceil(gaps.shortestSeconds / 60 + 5) * 60, 300), MAX_PERIOD_SECONDS),
    noSuccess: lookBack(alarmMinutes(config)),
    // The run has begun to use the second half of its reserve, which is for saving the state and unlocking.
    nearTimeoutMs: (config.timeoutSeconds - config.deadlineReserveSeconds / 2) * 1000,
  };
}

/** An endpoint's address: DnsEntries lists `<hosted zone>:<host>`, and the first host resolves in all availability zones. */
const urlOf = (endpoint: string) => ({
  'Fn::Join': [
    '',
    [
      'https://',
      {
        'Fn::Select': [1, { 'Fn::Split': [':', { 'Fn::Select': [0, { 'Fn::GetAtt': [endpoint, 'DnsEntries'] }] }] }],
      },
    ],
  ],
});

/** Divides `minutes` into CloudWatch's periods: of a minute, or of an hour for more than a day. */
function lookBack(minutes: number) {
  if (minutes <= MAX_ONE_MINUTE_PERIODS) return { minutes, periodSeconds: 60, periods: minutes };
  return { minutes, periodSeconds: 3600, periods: Math.ceil(minutes / 60) };
}
