import type { Rest } from './backfill.ts';
import type { BackfillRequest } from './options.ts';

/** The options that say where a command works. */
export interface Where {
  stage?: string;
  region?: string;
  'aws-profile'?: string;
  local?: boolean;
}

/** The command that goes on with a backfill, to be pasted into a shell. */
export function resumeCommand(request: BackfillRequest, rest: Rest, where: Where): string {
  const { part, backfillId } = rest;
  const { whole, window, concurrency, dryRun } = request;
  const options: [string, string | number | true | undefined][] = [
    ['stage', where.stage],
    ['region', where.region],
    ['aws-profile', where['aws-profile']],
    ['local', where.local || undefined],
    ['since', part.since],
    // Of all windows, the first of which is the one to go on with.
    ['until', whole.until],
    ['window', window?.text],
    ['ids', part.ids && listed(part.ids)],
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
export const idsOption = (ids: string[]) => option('ids', listed(ids));

/** A value that begins with a dash would be taken for another option. */
const option = (name: string, value: string) => `--${name}${value.startsWith('-') ? '=' : ' '}${quoted(value)}`;

const listed = (ids: string[]) => (ids.some((id) => /^\[|,|^\s|\s$/.test(id)) ? JSON.stringify(ids) : ids.join(','));

/** As one word of a shell. */
export const quoted = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
