import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { parse } from 'yaml';
import { settingsTable } from '../lib/config.ts';

const text = v.pipe(v.string('must be text'), v.nonEmpty('must not be empty'));
const wholeNumber = (least: number, most: number) => {
  const message = `must be a whole number from ${least} to ${most}`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(least, message), v.maxValue(most, message));
};

const isTimeZone = (name: string) => {
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: name }));
  } catch {
    return false;
  }
};

// These two are set from the stage's name and from `secretId`.
const { STAGE: _stage, SECRET_ID: _secretId, ...settings } = settingsTable;

const stageConfig = v.strictObject({
  schedule: v.strictObject({
    expression: v.pipe(
      text,
      v.regex(
        /^(rate\([1-9]\d* (minute|hour|day)s?\)|cron\((\S+ ){5}\S+\))$/,
        'must be as EventBridge Scheduler wants it: rate(15 minutes), or cron(…) with its six fields',
      ),
    ),
    timezone: v.pipe(text, v.check(isTimeZone, 'must be a time zone of the IANA database, such as Europe/Berlin')),
    enabled: v.boolean('must be true or false'),
    flexibleWindowMinutes: wholeNumber(0, 1440),
  }),
  secretId: v.pipe(text, v.regex(/^[\w/+=.@-]+$/, 'must be the name of a secret, not its ARN')),
  memoryMb: wholeNumber(128, 10_240),
  timeoutSeconds: wholeNumber(1, 900),
  vpc: v.optional(v.strictObject({ subnetIds: v.array(text), securityGroupIds: v.array(text) })),
  settings: v.strictObject(settings),
});

/** A stage's file: `settings` as they are written there, which is how they go into the functions' environment. */
export type StageConfig = Omit<v.InferOutput<typeof stageConfig>, 'settings'> & { settings: Record<string, string> };

/**
 * Reads and checks `infra/config/<stage>.yml`.
 * @throws Error that names the file and every key in it that is missing, unknown or malformed
 */
export async function readStageConfig(
  stage: string,
  folder: string = join(import.meta.dirname, 'config'),
): Promise<StageConfig> {
  const file = `infra/config/${stage}.yml`;
  const stages = (await readdir(folder)).flatMap((name) => (name.endsWith('.yml') ? [name.slice(0, -4)] : []));
  if (!stages.includes(stage))
    throw new Error(`there is no ${file}: every stage has its own file, and there are: ${stages.join(', ')}`);
  const content = await readFile(join(folder, `${stage}.yml`), 'utf8');
  const written = parseYaml(content, file);
  const parsed = v.safeParse(stageConfig, written);
  if (!parsed.success) throw new Error(`${file} is not right: ${parsed.issues.map(describe).join('; ')}`);
  return { ...parsed.output, settings: written.settings as Record<string, string> };
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
