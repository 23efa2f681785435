import { printable } from '../terminal/printable.ts';
import { shellWord } from '../terminal/shell-word.ts';
import type { BackfillRequest } from './options.ts';
import type { Part } from './windows.ts';

/** The part at which a backfill continues. */
export interface Rest {
  part: Part;
  backfillId?: string;
  /** Replaces the request's own, if the lock was held for longer. */
  waitSeconds?: number;
}

/** The options that choose the deployment and the job. */
export interface Where {
  stage?: string;
  region?: string;
  'aws-profile'?: string;
  job?: string;
  local?: boolean;
}

/** Returns the command that continues a backfill, ready to paste into a shell. */
export function resumeCommand(request: BackfillRequest, rest: Rest, where: Where): string {
  const { part, backfillId } = rest;
  const { whole, window, concurrency, dryRun } = request;
  const options: [string, string | number | true | undefined][] = [
    ['stage', where.stage],
    ['region', where.region],
    ['aws-profile', where['aws-profile']],
    ['job', where.job],
    ['local', where.local || undefined],
    ['since', part.since],
    // The end of the last window: all windows from the rest on are still to be copied.
    ['until', whole.until],
    ['window', window?.text],
    ['ids', part.ids && joinIds(part.ids)],
    ['all', part.since || part.until || part.ids ? undefined : true],
    ['dry-run', dryRun || undefined],
    ['wait', rest.waitSeconds ?? request.waitSeconds],
    ['concurrency', concurrency],
    ['shard', part.shard && part.shard.index > 0 ? part.shard.index : undefined],
    ['resume', backfillId],
  ];
  const words = options.flatMap(([name, value]) => {
    if (value === undefined) return [];
    return value === true ? [`--${name}`] : [option(name, String(value))];
  });
  return ['npx serverless backfill', ...words].join(' ');
}

/** The option that names these ids. */
export const idsOption = (ids: string[]) => option('ids', joinIds(ids));

/** Without the equals sign, a value that begins with a dash would be another option. */
const option = (name: string, value: string) => `--${name}${value.startsWith('-') ? '=' : ' '}${shellWord(value)}`;

/** A list that `--ids` splits into the same ids: JSON where commas would not do, or where a character needs its escape. */
const joinIds = (ids: string[]) =>
  ids.some((id) => /^\[|,|^\s|\s$/.test(id) || printable(id) !== id) ? printable(JSON.stringify(ids)) : ids.join(',');
