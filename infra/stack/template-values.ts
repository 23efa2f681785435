import { alarmMinutes } from '../stage/alarm-minutes.ts';
import type { StageConfig } from '../stage/stage-config.ts';

/** What Lambda and the scheduler can be told of an event's age. */
const LEAST_EVENT_AGE_SECONDS = 60;
const MOST_EVENT_AGE_SECONDS = 21_600;

const MOST_SECONDS_OF_A_PERIOD = 86_400;

/** Below an hour CloudWatch can look back for a day only. */
const MOST_MINUTES_IN_MINUTES = 24 * 60;

/**
 * The stage's file in CloudFormation's words, for serverless.yml and infra/*.yml.
 * @param job the name by which the metrics know it
 */
export function templateValues(stage: string, job: string, config: StageConfig) {
  const { schedule, settings, vpc, gaps } = config;
  const { enabled, flexibleWindowMinutes: minutes, ...timing } = schedule;
  const flexibleTimeWindow = minutes === 0 ? { Mode: 'OFF' } : { Mode: 'FLEXIBLE', MaximumWindowInMinutes: minutes };
  const address = config.alarmAddress === undefined ? [] : [{ Ref: 'AlarmTopic' }];
  return {
    ...config,
    job,
    schedule: { ...timing, state: enabled ? 'ENABLED' : 'DISABLED', flexibleTimeWindow },
    // Once the next tick is due, this one is late.
    eventAgeSeconds: Math.min(Math.max(gaps.shortestSeconds, LEAST_EVENT_AGE_SECONDS), MOST_EVENT_AGE_SECONDS),
    vpc: vpc && { subnetIds: vpc.subnetIds, securityGroupIds: vpc.securityGroupIds },
    endpoint: vpc?.secretsEndpoint && {
      vpcId: vpc.secretsEndpoint.vpcId,
      ingress: vpc.securityGroupIds.map((id) => ({
        ...{ IpProtocol: 'tcp', FromPort: 443, ToPort: 443, SourceSecurityGroupId: id },
        Description: 'HTTPS from the functions',
      })),
    },
    environment: {
      ...{ STAGE: stage, SECRET_ID: config.secretId, ...settings },
      ...(vpc?.secretsEndpoint && { AWS_ENDPOINT_URL_SECRETS_MANAGER: SECRETS_ENDPOINT_URL }),
    },
    alarmActions: address,
    // What a tick has said holds until the next one has said otherwise, with five minutes for its metrics to arrive.
    signalSeconds: Math.min(Math.max(Math.ceil(gaps.shortestSeconds / 60 + 5) * 60, 300), MOST_SECONDS_OF_A_PERIOD),
    noSuccess: lookBack(alarmMinutes(config)),
    // Half the reserve is for what is in flight, and the other half for saving: it has begun to use that.
    nearTimeoutMs: (config.timeoutSeconds - config.deadlineReserveSeconds / 2) * 1000,
  };
}

/** Each name is that of a zone and of a host, with a colon between; the first one is good for all zones. */
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

/** So many minutes as CloudWatch counts them: exactly, or in hours where they are more than a day. */
function lookBack(minutes: number) {
  if (minutes <= MOST_MINUTES_IN_MINUTES) return { minutes, periodSeconds: 60, periods: minutes };
  return { minutes, periodSeconds: 3600, periods: Math.ceil(minutes / 60) };
}
