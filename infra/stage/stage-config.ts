import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { parse } from 'yaml';
import { loadJob } from '../../functions/load-job.ts';
import { bounded } from '../../lib/bounded.ts';
import { readSettings } from '../../lib/settings/config.ts';
import { contradictions } from './contradictions.ts';
import { describeFault, type StageFile, stageFile } from './stage-file.ts';
import { type TickGaps, tickGaps } from './tick-gaps.ts';

/** A stage's checked file, with what follows from it. */
export interface StageConfig extends Omit<StageFile, 'settings'> {
  /** As the file writes them, because they go into the functions' environment. */
  settings: Record<string, string>;
  /** SKIPS_BEFORE_WARNING, the default included. */
  skipsBeforeWarning: number;
  /** DEADLINE_RESERVE_SECONDS, the default included. */
  deadlineReserveSeconds: number;
  /** MIN_INTERVAL_SECONDS, if the file sets it. */
  minIntervalSeconds?: number | undefined;
  gaps: TickGaps;
}

/** The name of a schedule has at most 64 characters; `solotick-`, `-sync` and the longest shard, `-199-of-200`, take 25. */
const MAX_STAGE_LENGTH = 39;

/** The most bytes of one fault, so that a long one does not hide the others. */
const MAX_FAULT_BYTES = 500;

/**
 * Reads and checks `infra/config/<stage>.yml`.
 * @throws Error that names the file and every key that is missing, unknown or malformed
 */
export async function readStageConfig(
  stage: string,
  folder: string = join(import.meta.dirname, '../config'),
): Promise<StageConfig> {
  const name = `infra/config/${stage}.yml`;
  const stages = (await readdir(folder)).flatMap((file) => (file.endsWith('.yml') ? [file.slice(0, -4)] : []));
  if (!stages.includes(stage))
    throw new Error(`there is no ${name}: every stage needs a file, and there are: ${stages.join(', ')}`);
  if (stage.length > MAX_STAGE_LENGTH)
    throw new Error(
      `${name}: the name of a stage has at most ${MAX_STAGE_LENGTH} characters, because it is part of names in AWS`,
    );
  const invalid = (...faults: string[]) =>
    new Error(bounded(`${name} is invalid: ${faults.map((fault) => bounded(fault, MAX_FAULT_BYTES)).join('; ')}`));
  const written = parseYaml(await readFile(join(folder, `${stage}.yml`), 'utf8'), name);
  const parsed = v.safeParse(stageFile, written, { abortPipeEarly: true });
  if (!parsed.success) throw invalid(...parsed.issues.map(describeFault));
  const file = parsed.output;
  const gaps = gapsOf(file);
  if (typeof gaps === 'string') throw invalid(gaps);
  const faults = contradictions(file, gaps);
  if (faults.length > 0) throw invalid(...faults);
  const settings = { ...(written.settings as Record<string, string>), SHARDS: String(file.shards) };
  try {
    readSettings({ ...settings, STAGE: stage, SECRET_ID: file.secretId }, await loadJob('models'));
  } catch (error) {
    throw invalid((error as Error).message);
  }
  return {
    ...file,
    settings,
    skipsBeforeWarning: file.settings.SKIPS_BEFORE_WARNING,
    deadlineReserveSeconds: file.settings.DEADLINE_RESERVE_SECONDS,
    minIntervalSeconds: file.settings.MIN_INTERVAL_SECONDS,
    gaps,
  };
}

/** The gaps between ticks, or what is wrong with the expression. */
function gapsOf({ schedule }: StageFile): TickGaps | string {
  try {
    return tickGaps(schedule.expression, schedule.timezone);
  } catch (error) {
    return `schedule.expression is not valid in EventBridge Scheduler: ${(error as Error).message}`;
  }
}

/** Parses YAML, but keeps settings as text: the region 0012 is not the number 12. */
function parseYaml(content: string, name: string) {
  try {
    const { settings } = { ...parse(content, { schema: 'failsafe' }) };
    return { ...parse(content), ...(settings !== undefined && { settings }) };
  } catch (error) {
    throw new Error(bounded(`${name} is not YAML: ${(error as Error).message}`), { cause: error });
  }
}
