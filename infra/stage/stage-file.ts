import * as v from 'valibot';

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

const schedule = v.strictObject(
  {
    expression: v.pipe(
      text,
      v.regex(
        /^(rate\([1-9]\d{0,5} (minute|hour|day)s?\)|cron\((\S+ ){5}\S+\))$/,
        'must be an expression of EventBridge Scheduler: rate(15 minutes), or cron(…) with six fields',
      ),
    ),
    timezone: v.optional(
      v.pipe(text, v.check(isTimeZone, 'must be a time zone of the IANA database, such as Europe/Berlin')),
      'UTC',
    ),
    enabled: v.optional(yesOrNo, true),
    flexibleWindowMinutes: v.optional(wholeNumber(0, 1440), 0),
  },
  'must have an expression, such as expression: rate(15 minutes)',
);

/** The keys that may stand at the top, for all jobs, and in a job's block, for that job alone. */
const shared = {
  memoryMb: v.optional(wholeNumber(128, 10_240)),
  timeoutSeconds: v.optional(wholeNumber(1, 900)),
  logRetentionDays: v.optional(v.picklist(RETENTIONS, `must be one of ${RETENTIONS.join(', ')}`)),
  vpc: v.optional(
    v.strictObject({
      subnetIds: idsOf('subnet'),
      securityGroupIds: idsOf('sg'),
      secretsEndpoint: v.optional(v.strictObject({ vpcId: idOf('vpc') })),
    }),
  ),
  secretKeyArn: v.optional(
    v.pipe(
      text,
      v.regex(/^arn:[\w-]+:kms:[\w-]+:\d{12}:key\/[\w-]+$/, 'must be the ARN of a KMS key, not of an alias'),
    ),
  ),
  alarms: v.optional(yesOrNo),
  alarmAddress: v.optional(v.pipe(text, v.email('must be an e-mail address'))),
  alarmWithoutSuccessMinutes: v.optional(wholeNumber(0, MAX_ALARM_MINUTES)),
  dashboard: v.optional(yesOrNo),
  // Checked with the defaults and the job's own ones: infra/stage/job-settings.ts.
  settings: v.optional(v.record(v.string(), v.string('must be text'), 'must be a list of names and values')),
};

const job = v.strictObject(
  {
    schedule,
    secretId: v.pipe(text, v.regex(/^[\w/+=.@-]+$/, 'must be the name of a secret, not its ARN')),
    // CloudFormation takes 500 resources, and each shard needs a schedule and an alarm.
    shards: v.optional(wholeNumber(1, 200), 1),
    ...shared,
  },
  'must be a block with schedule and secretId',
);

/** Every key of `infra/config/<stage>.yml`. */
export const stageFile = v.strictObject(
  {
    ...shared,
    jobs: v.pipe(
      v.record(v.string(), job, 'must have a block for each job'),
      v.check((jobs) => Object.keys(jobs).length > 0, 'is empty: a stage needs at least one job'),
    ),
  },
  'must have keys, such as jobs',
);

/** A stage's file in which every key is valid by itself. */
export type StageFile = v.InferOutput<typeof stageFile>;

/** A job's block. */
export type JobBlock = v.InferOutput<typeof job>;

/** Names the key and what is wrong with it. */
export function describeFault(issue: v.InferIssue<typeof stageFile>): string {
  const key = v.getDotPath(issue) ?? 'the file';
  if (issue.expected === 'never') return `${key} is not a known key`;
  if (issue.received === 'undefined') return `${key} is missing`;
  return `${key} ${issue.message}`;
}
