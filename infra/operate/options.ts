import * as v from 'valibot';
import { settingsTable } from '../../lib/settings/config.ts';
import { Refusal } from './refusal.ts';

/** The options of the backfill command as osls hands them over. */
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
  shard?: string;
}

/** What one backfill copies, in the event's words; nothing in it means everything. */
export interface Part {
  since?: string;
  until?: string;
  ids?: string[];
  shard?: { index: number; of: number };
}

export interface BackfillRequest {
  whole: Part;
  /** Each window is copied shard by shard, the first one from `fromShard` on. */
  shards: number;
  fromShard: number;
  /** `whole` is cut into windows of this length. */
  window?: { text: string; ms: number };
  dryRun: boolean;
  waitSeconds?: number;
  concurrency?: number;
  /** The id under which the first window was begun before. */
  resume?: string;
}

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads the options of the backfill command. A window without an end ends now, so that a resumed command means the same.
 * @param shards into how many the job is divided
 * @throws Refusal that says which option is wrong
 */
export function readBackfillOptions(options: BackfillOptions, now: Date, shards = 1): BackfillRequest {
  const { resume } = options;
  const window = options.window === undefined ? undefined : { text: options.window, ms: windowMs(options.window) };
  const whole = readWhole(options);
  if (window && !whole.since) throw new Refusal('--window cuts a range of time, so it needs --since');
  if (window) whole.until ??= now.toISOString();
  if (whole.since && whole.until && whole.since >= whole.until) {
    throw new Refusal(`--since ${whole.since} is not before --until ${whole.until}`);
  }
  if (resume !== undefined && !/^[\w-]{1,64}$/.test(resume)) {
    throw new Refusal(`--resume "${resume}" is no id: take the command that the interrupted one printed`);
  }
  const dryRun = options['dry-run'] ?? false;
  if (dryRun && resume !== undefined) throw new Refusal('--dry-run and --resume exclude each other');
  return {
    ...{ whole, dryRun, shards },
    fromShard: options.shard === undefined ? 0 : wholeNumber('shard', options.shard, 0, shards - 1),
    ...(window && { window }),
    ...(options.wait !== undefined && { waitSeconds: wholeNumber('wait', options.wait, 0, 900) }),
    ...(options.concurrency !== undefined && {
      concurrency: wholeNumber('concurrency', options.concurrency, 1, 10_000),
    }),
    ...(resume !== undefined && { resume }),
  };
}

function readWhole({ since, until, ids, all }: BackfillOptions): Part {
  const chosen = [since !== undefined || until !== undefined, ids !== undefined, all === true].filter(Boolean).length;
  if (chosen === 0) throw new Refusal('say what to copy: --since … --until …, or --ids a,b, or --all for everything');
  if (chosen > 1) throw new Refusal('--since and --until, --ids and --all exclude each other');
  return {
    ...(since !== undefined && { since: readInstant('since', since) }),
    ...(until !== undefined && { until: readInstant('until', until) }),
    ...(ids !== undefined && { ids: readIds(ids) }),
  };
}

/** The parts one after another: each window, beginning where the one before ends, and of each window every shard. */
export function cut(request: BackfillRequest): Part[] {
  const { shards, fromShard } = request;
  const windows = cutWindows(request);
  if (shards === 1) return windows;
  const indexes = Array.from({ length: shards }, (_, index) => index);
  return windows
    .flatMap((window) => indexes.map((index) => ({ ...window, shard: { index, of: shards } })))
    .slice(fromShard);
}

function cutWindows({ whole, window }: BackfillRequest): Part[] {
  const { since, until } = whole;
  if (!window || since === undefined || until === undefined) return [whole];
  const parts: Part[] = [];
  const endMs = Date.parse(until);
  for (let startMs = Date.parse(since); startMs < endMs; startMs += window.ms) {
    const stopMs = Math.min(startMs + window.ms, endMs);
    parts.push({ since: new Date(startMs).toISOString(), until: new Date(stopMs).toISOString() });
  }
  return parts;
}

/** Reads an instant in UTC or with an offset, or a day, which begins at 00:00 UTC. @throws Refusal */
export function readInstant(option: string, text: string): string {
  // A time as INITIAL_SINCE takes it, so that the same ones exist.
  const read = v.safeParse(settingsTable.INITIAL_SINCE, text.length === 10 ? `${text}T00:00Z` : text);
  if (!read.success || read.output === undefined) {
    throw new Refusal(`--${option} "${text}" is no time: expected 2026-01-31, or 2026-01-31T12:00:00Z with its zone`);
  }
  return read.output;
}

function windowMs(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,5})(m|h|d)$/.exec(text) ?? [];
  if (!count || !unit) throw new Refusal(`--window "${text}" is no length of time: expected 12h, 1d or 7d`);
  return Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

/** Ids between commas; or a JSON array, for ids that hold a comma. */
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
    throw new Refusal('--ids holds an empty id: expected a,b or ["a","b"]');
  }
  return list;
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new Refusal(`--${option} "${text}" must be a whole number from ${least} to ${most}`);
}
