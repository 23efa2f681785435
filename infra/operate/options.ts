import * as v from 'valibot';
import { settingsTable } from '../../lib/settings/config.ts';
import { Refusal } from '../terminal/refusal.ts';
import type { Part, Range } from './windows.ts';

/** The options of the backfill command as osls passes them on. */
export interface BackfillOptions {
  since?: string;
  until?: string;
  ids?: string;
  all?: boolean;
  'dry-run'?: boolean;
  wait?: string;
  window?: string;
  concurrency?: string;
  resume?: string;
  watch?: string;
  cancel?: string;
  detach?: boolean;
  shard?: string;
}

export interface BackfillRequest extends Range {
  dryRun: boolean;
  concurrency?: number;
  /** The id of the backfill to go on with. */
  resume?: string;
}

/** The options that each name a backfill. */
const NAMING = ['watch', 'cancel', 'resume'] as const;

/** What is not about a backfill that is named. */
const DESCRIBING = ['since', 'until', 'ids', 'all', 'dry-run', 'window', 'shard'] as const;

/** What is only about a start. */
const STARTING = ['detach', 'concurrency'] as const;

/** The backfill that the options name, and what to do with it; undefined where they describe one. @throws Refusal */
export function namedBackfill(options: BackfillOptions): { what: (typeof NAMING)[number]; id: string } | undefined {
  const [what, second] = NAMING.filter((name) => options[name] !== undefined);
  if (what === undefined) return undefined;
  if (second) throw new Refusal(`--${what} and --${second} exclude each other`);
  const described = DESCRIBING.find((name) => options[name] !== undefined);
  if (described) throw new Refusal(`--${what} is about a backfill as it is: leave out --${described}`);
  const idle = what === 'resume' ? undefined : STARTING.find((name) => options[name] !== undefined);
  if (idle) throw new Refusal(`--${what} starts nothing: leave out --${idle}`);
  const id = options[what]!;
  if (!/^[\w-]{1,64}$/.test(id))
    throw new Refusal(`--${what} "${id}" is not an id: "serverless status --job …" lists them`);
  return { what, id };
}

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Parses the options of the backfill command that describe a backfill. With --window, a range without an end ends now.
 * @param shards the number of shards of the job
 * @throws Refusal that names the wrong option
 */
export function readBackfillOptions(options: BackfillOptions, now: Date, shards = 1): BackfillRequest {
  const window = options.window === undefined ? undefined : { text: options.window, ms: windowMs(options.window) };
  const whole = readWhole(options);
  if (window && !whole.since) throw new Refusal('--window cuts a range of time, so it needs --since');
  if (window) whole.until ??= now.toISOString();
  if (whole.since && whole.until && whole.since >= whole.until) {
    throw new Refusal(`--since ${whole.since} is not before --until ${whole.until}`);
  }
  const dryRun = options['dry-run'] ?? false;
  if (dryRun && options.detach) throw new Refusal('--dry-run and --detach exclude each other: a dry run has no state');
  const index = options.shard === undefined ? undefined : wholeNumber('shard', options.shard, 0, shards - 1);
  return {
    whole: { ...whole, ...(index !== undefined && { shard: { index, of: shards } }) },
    ...{ dryRun, shards },
    ...(window && { window }),
    ...concurrencyOf(options),
  };
}

/** @throws Refusal */
export const concurrencyOf = ({ concurrency }: BackfillOptions): { concurrency?: number } =>
  concurrency === undefined ? {} : { concurrency: wholeNumber('concurrency', concurrency, 1, 10_000) };

function readWhole({ since, until, ids, all }: BackfillOptions): Part {
  const chosen = [since !== undefined || until !== undefined, ids !== undefined, all === true].filter(Boolean).length;
  if (chosen === 0) throw new Refusal('say what to copy: --since … --until …, or --ids a,b, or --all for everything');
  if (chosen > 1) throw new Refusal('--since/--until, --ids and --all exclude each other');
  return {
    ...(since !== undefined && { since: readInstant('since', since) }),
    ...(until !== undefined && { until: readInstant('until', until) }),
    ...(ids !== undefined && { ids: readIds(ids) }),
  };
}

/** Parses an instant in UTC or with an offset, or a day, which begins at 00:00 UTC. @throws Refusal */
export function readInstant(option: string, text: string): string {
  // The setting's own schema, so that both accept the same times.
  const read = v.safeParse(settingsTable.INITIAL_SINCE, text.length === 10 ? `${text}T00:00Z` : text);
  if (!read.success || read.output === undefined) {
    throw new Refusal(
      `--${option} "${text}" is not a time: expected 2026-01-31, or 2026-01-31T12:00:00Z with its zone`,
    );
  }
  return read.output;
}

function windowMs(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,5})(m|h|d)$/.exec(text) ?? [];
  if (!count || !unit) throw new Refusal(`--window "${text}" is not a length of time: expected 12h, 1d or 7d`);
  return Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

/** Parses ids separated by commas, or a JSON array for ids that contain one. */
function readIds(text: string): string[] {
  let ids: unknown = text.split(',').map((id) => id.trim());
  if (text.startsWith('[')) {
    try {
      ids = JSON.parse(text);
    } catch {
      throw new Refusal('--ids begins with [ and is not JSON: expected a,b or ["a","b"]');
    }
  }
  const list = Array.isArray(ids) ? ids : [];
  if (list.length === 0 || !list.every((id) => typeof id === 'string' && id !== '')) {
    throw new Refusal('--ids contains an empty id: expected a,b or ["a","b"]');
  }
  return list;
}

/** @throws Refusal */
export function wholeNumber(option: string, text: string, least: number, most: number): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new Refusal(`--${option} "${text}" must be a whole number from ${least} to ${most}`);
}
