import * as v from 'valibot';
import { settingsTable } from '../../lib/settings/config.ts';

const text = v.pipe(v.string('must be text'), v.nonEmpty('must not be empty'));
const yesOrNo = v.boolean('must be true or false');
const wholeNumber = (least: number, most: number) => {
  const message = `must be a whole number from ${least} to ${most}`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(least, message), v.maxValue(most, message));
};
const idOf = (kind: string) =>
  v.pipe(text, v.regex(RegExp(`^${kind}-\\w+$`), `must be an id such as ${kind}-0123456789abcdef0`));
const idsOf = (kind: string) => v.pipe(v.array(idOf(kind), 'must be a list'), v.minLength(1, 'must not be empty'));

const isTimeZone = (name: string) => {
  try {
    // EventBridge does not take offsets such as +02:00, which Intl does.
    return /^[A-Za-z]/.test(name) && Boolean(new Intl.DateTimeFormat('en', { timeZone: name }));
  } catch {
    return false;
  }
};

/** The retention times that CloudWatch Logs accepts, in days. */
const RETENTIONS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 2192, 2557, 2922, 3288, 3653];

/** A CloudWatch alarm looks back a week at most. */
export const MAX_ALARM_MINUTES = 7 * 24 * 60;

// These come from elsewhere: the stage's name, `secretId`, `shards`, and the queue in the template.
const {
  STAGE: _stage,
  SERVICE: _service,
  SECRET_ID: _secretId,
  SHARDS: _shards,
  DEAD_LETTER_QUEUE_URL: _deadLetterQueueUrl,
  ...settings
} = settingsTable;

/** Every key of `infra/config/<stage>.yml`. */
export const stageFile = v.strictObject({
  schedule: v.strictObject({
    expression: v.pipe(
      text,
      v.regex(
        /^(rate\([1-9]\d{0,5} (minute|hour|day)s?\)|cron\((\S+ ){5}\S+\))$/,
        'must be an expression of EventBridge Scheduler: rate(15 minutes), or cron(…) with six fields',
      ),
    ),
    timezone: v.pipe(text, v.check(isTimeZone, 'must be a time zone of the IANA database, such as Europe/Berlin')),
    enabled: yesOrNo,
    flexibleWindowMinutes: wholeNumber(0, 1440),
  }),
  // CloudFormation takes 500 resources, and each shard needs a schedule and an alarm.
  shards: wholeNumber(1, 200),
  secretId: v.pipe(text, v.regex(/^[\w/+=.@-]+$/, 'must be the name of a secret, not its ARN')),
  secretKeyArn: v.optional(
    v.pipe(
      text,
      v.regex(/^arn:[\w-]+:kms:[\w-]+:\d{12}:key\/[\w-]+$/, 'must be the ARN of a KMS key, not of an alias'),
    ),
  ),
  memoryMb: wholeNumber(128, 10_240),
  timeoutSeconds: wholeNumber(1, 900),
  logRetentionDays: v.picklist(RETENTIONS, `must be one of ${RETENTIONS.join(', ')}`),
  vpc: v.optional(
    v.strictObject({
      subnetIds: idsOf('subnet'),
      securityGroupIds: idsOf('sg'),
      secretsEndpoint: v.optional(v.strictObject({ vpcId: idOf('vpc') })),
    }),
  ),
  alarms: yesOrNo,
  alarmAddress: v.optional(v.pipe(text, v.email('must be an e-mail address'))),
  alarmWithoutSuccessMinutes: wholeNumber(0, MAX_ALARM_MINUTES),
  dashboard: yesOrNo,
  settings: v.strictObject(settings),
});

/** A stage's file in which every key is valid by itself. */
export type StageFile = v.InferOutput<typeof stageFile>;

/** Names the key and what is wrong with it. */
export function describeFault(issue: v.InferIssue<typeof stageFile>): string {
  const key = v.getDotPath(issue);
  if (issue.expected === 'never') return `${key} is not a known key`;
  if (issue.received === 'undefined') return `${key} is missing`;
  return `${key} ${issue.message}`;
}
