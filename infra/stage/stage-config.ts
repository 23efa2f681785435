import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { parse } from 'yaml';
import { job } from '../../functions/job.ts';
import { readSettings, settingsTable } from '../../lib/settings/config.ts';
import { alarmMinutes } from './alarm-minutes.ts';
import { type TickGaps, tickGaps } from './tick-gaps.ts';

const text = v.pipe(v.string('must be text'), v.nonEmpty('must not be empty'));
const yesOrNo = v.boolean('must be true or false');
const wholeNumber = (least: number, most: number) => {
  const message = `must be a whole number from ${least} to ${most}`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(least, message), v.maxValue(most, message));
};
const idOf = (kind: string) =>
  v.pipe(text, v.regex(RegExp(`^${kind}-\\w+$`), `must be an id as ${kind}-0123456789abcdef0`));
const idsOf = (kind: string) => v.pipe(v.array(idOf(kind), 'must be a list'), v.minLength(1, 'must not be empty'));

const isTimeZone = (name: string) => {
  try {
    // Offsets such as +02:00 are none to EventBridge.
    return /^[A-Za-z]/.test(name) && Boolean(new Intl.DateTimeFormat('en', { timeZone: name }));
  } catch {
    return false;
  }
};

/** What CloudWatch Logs can be told. */
const RETENTIONS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 2192, 2557, 2922, 3288, 3653];

/** As far as a CloudWatch alarm can look back. */
const MAX_ALARM_MINUTES = 7 * 24 * 60;

// These are set from elsewhere: the stage's name, `secretId`, `shards` and the template's own queue.
const {
  STAGE: _stage,
  SECRET_ID: _secretId,
  SHARDS: _shards,
  DEAD_LETTER_QUEUE_URL: _deadLetterQueueUrl,
  ...settings
} = settingsTable;

const stageConfig = v.strictObject({
  schedule: v.strictObject({
    expression: v.pipe(
      text,
      v.regex(
        /^(rate\([1-9]\d{0,5} (minute|hour|day)s?\)|cron\((\S+ ){5}\S+\))$/,
        'must be as EventBridge Scheduler wants it: rate(15 minutes), or cron(…) with its six fields',
      ),
    ),
    timezone: v.pipe(text, v.check(isTimeZone, 'must be a time zone of the IANA database, such as Europe/Berlin')),
    enabled: yesOrNo,
    flexibleWindowMinutes: wholeNumber(0, 1440),
  }),
  // CloudFormation takes 500 resources, and each shard has a schedule and an alarm.
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

type Checked = v.InferOutput<typeof stageConfig>;

/** A stage's file: `settings` as they are written there, which is how they go into the functions' environment. */
export interface StageConfig extends Omit<Checked, 'settings'> {
  settings: Record<string, string>;
  /** So many ticks in a row that find the lock held are worth a warning, whether that is written there or not. */
  skipsBeforeWarning: number;
  /** In the same way, what a run keeps back of its time. */
  deadlineReserveSeconds: number;
  /** In the same way, how soon after a completed tick the next one is skipped. */
  minIntervalSeconds?: number | undefined;
  /** Of the schedule's ticks. */
  gaps: TickGaps;
}

/** Of 64, which a schedule’s name may have, less `solotick-`, `-sync` and the longest of shards, `-199-of-200`. */
const MAX_STAGE_LENGTH = 39;

/**
 * Reads and checks `infra/config/<stage>.yml`.
 * @throws Error that names the file and every key in it that is missing, unknown or malformed
 */
export async function readStageConfig(
  stage: string,
  folder: string = join(import.meta.dirname, '../config'),
): Promise<StageConfig> {
  const file = `infra/config/${stage}.yml`;
  const stages = (await readdir(folder)).flatMap((name) => (name.endsWith('.yml') ? [name.slice(0, -4)] : []));
  if (!stages.includes(stage))
    throw new Error(`there is no ${file}: every stage has its own file, and there are: ${stages.join(', ')}`);
  if (stage.length > MAX_STAGE_LENGTH)
    throw new Error(
      `${file}: the name of a stage has at most ${MAX_STAGE_LENGTH} characters, because it is part of names in AWS`,
    );
  const refuse = (faults: string[]) => new Error(`${file} is not right: ${faults.join('; ')}`);
  const content = await readFile(join(folder, `${stage}.yml`), 'utf8');
  const written = parseYaml(content, file);
  const parsed = v.safeParse(stageConfig, written, { abortPipeEarly: true });
  if (!parsed.success) throw refuse(parsed.issues.map(describe));
  const config = parsed.output;
  const gaps = gapsOf(config);
  if (typeof gaps === 'string') throw refuse([gaps]);
  const faults = contradictions(config, gaps);
  if (faults.length > 0) throw refuse(faults);
  const settings = { ...(written.settings as Record<string, string>), SHARDS: String(config.shards) };
  try {
    readSettings({ ...settings, STAGE: stage, SECRET_ID: config.secretId }, job.name);
  } catch (error) {
    throw refuse([(error as Error).message]);
  }
  return {
    ...config,
    settings,
    skipsBeforeWarning: config.settings.SKIPS_BEFORE_WARNING,
    deadlineReserveSeconds: config.settings.DEADLINE_RESERVE_SECONDS,
    minIntervalSeconds: config.settings.MIN_INTERVAL_SECONDS,
    gaps,
  };
}

/** What no single key is to blame for. */
function contradictions({ schedule, settings, ...config }: Checked, gaps: TickGaps): string[] {
  const { STARTING_DEADLINE_SECONDS: startingSeconds, DEADLINE_RESERVE_SECONDS: reserveSeconds } = settings;
  const windowSeconds = schedule.flexibleWindowMinutes * 60;
  const faults: string[] = [];
  if (startingSeconds !== undefined && startingSeconds <= windowSeconds) {
    faults.push(
      `settings.STARTING_DEADLINE_SECONDS is ${startingSeconds}, but must be above the ${windowSeconds} s of ` +
        'schedule.flexibleWindowMinutes: a tick may come that late',
    );
  }
  if (reserveSeconds >= config.timeoutSeconds) {
    faults.push(
      `settings.DEADLINE_RESERVE_SECONDS is ${reserveSeconds}, but must be below timeoutSeconds, which is ` +
        `${config.timeoutSeconds}: nothing would be left to run in`,
    );
  }
  const minIntervalSeconds = settings.MIN_INTERVAL_SECONDS;
  if (alarmMinutes({ schedule, ...config, minIntervalSeconds, gaps }) > MAX_ALARM_MINUTES) {
    faults.push(
      'alarmWithoutSuccessMinutes must be 0, which is no such alarm: ticks of schedule.expression lie ' +
        `${Math.round(gaps.longestSeconds / 86_400)} days apart, and CloudWatch looks back at most 7`,
    );
  }
  if (config.alarmAddress !== undefined && !config.alarms) {
    faults.push('alarmAddress is of no use while alarms is false');
  }
  return faults;
}

function gapsOf({ schedule }: Checked): TickGaps | string {
  try {
    return tickGaps(schedule.expression, schedule.timezone);
  } catch (error) {
    return `schedule.expression is not one of EventBridge Scheduler's: ${(error as Error).message}`;
  }
}

/** Settings are text as it stands there, because 0012 is a region's id and not the number 12. */
function parseYaml(content: string, file: string) {
  try {
    const { settings } = { ...parse(content, { schema: 'failsafe' }) };
    return { ...parse(content), ...(settings !== undefined && { settings }) };
  } catch (error) {
    throw new Error(`${file} is not YAML: ${(error as Error).message}`, { cause: error });
  }
}

function describe(issue: v.InferIssue<typeof stageConfig>): string {
  const key = v.getDotPath(issue);
  if (issue.expected === 'never') return `${key} is not a key that is known here`;
  if (issue.received === 'undefined') return `${key} is missing`;
  return `${key} ${issue.message}`;
}
