import { alarmMinutes } from '../stage/alarm-minutes.ts';
import type { StageConfig } from '../stage/stage-config.ts';

/** Lambda and EventBridge Scheduler accept maximum event ages in this range. */
const MIN_EVENT_AGE_SECONDS = 60;
const MAX_EVENT_AGE_SECONDS = 21_600;

/** The longest period of an alarm. */
const MAX_PERIOD_SECONDS = 86_400;

/** With periods shorter than an hour, CloudWatch looks back a day at most. */
const MAX_ONE_MINUTE_PERIODS = 24 * 60;

/**
 * Translates the stage's file into CloudFormation's terms, for serverless.yml and infra/stack/*.yml.
 * @param job its name, which is a dimension of the metrics
 */
export function templateValues(stage: string, job: string, config: StageConfig) {
  const { schedule, settings, vpc, gaps } = config;
  const { enabled, flexibleWindowMinutes: minutes, ...timing } = schedule;
  const flexibleTimeWindow = minutes === 0 ? { Mode: 'OFF' } : { Mode: 'FLEXIBLE', MaximumWindowInMinutes: minutes };
  return {
    ...config,
    job,
    schedule: { ...timing, state: enabled ? 'ENABLED' : 'DISABLED', flexibleTimeWindow },
    // A tick that is not delivered before the next one is due has become useless.
    eventAgeSeconds: Math.min(Math.max(gaps.shortestSeconds, MIN_EVENT_AGE_SECONDS), MAX_EVENT_AGE_SECONDS),
    vpc: vpc && { subnetIds: vpc.subnetIds, securityGroupIds: vpc.securityGroupIds },
    endpoint: vpc?.secretsEndpoint && {
      vpcId: vpc.secretsEndpoint.vpcId,
      ingress: vpc.securityGroupIds.map((id) => ({
        ...{ IpProtocol: 'tcp', FromPort: 443, ToPort: 443, SourceSecurityGroupId: id },
        Description: 'HTTPS from the functions',
      })),
    },
    environment: {
      ...{ JOB: job, STAGE: stage, SECRET_ID: config.secretId, ...settings },
      ...(vpc?.secretsEndpoint && { AWS_ENDPOINT_URL_SECRETS_MANAGER: SECRETS_ENDPOINT_URL }),
    },
    alarmActions: config.alarmAddress === undefined ? [] : [{ Ref: 'AlarmTopic' }],
    // An alarm lasts until the next tick can confirm or end it, with five minutes for its metrics to arrive.
    signalSeconds: Math.min(Math.max(Math.ceil(gaps.shortestSeconds / 60 + 5) * 60, 300), MAX_PERIOD_SECONDS),
    noSuccess: lookBack(alarmMinutes(config)),
    // The run has begun to use the second half of its reserve, which is for saving the state and unlocking.
    nearTimeoutMs: (config.timeoutSeconds - config.deadlineReserveSeconds / 2) * 1000,
  };
}

/** DnsEntries lists `<hosted zone>:<host>`; the first host resolves in all availability zones. */
const SECRETS_ENDPOINT_URL = {
  'Fn::Join': [
    '',
    [
      'https://',
      {
        'Fn::Select': [
          1,
          { 'Fn::Split': [':', { 'Fn::Select': [0, { 'Fn::GetAtt': ['SecretsEndpoint', 'DnsEntries'] }] }] },
        ],
      },
    ],
  ],
};

/** Divides `minutes` into CloudWatch's periods: of a minute, or of an hour for more than a day. */
function lookBack(minutes: number) {
  if (minutes <= MAX_ONE_MINUTE_PERIODS) return { minutes, periodSeconds: 60, periods: minutes };
  return { minutes, periodSeconds: 3600, periods: Math.ceil(minutes / 60) };
}
