import { printable } from '../terminal/printable.ts';
import { shellWord } from '../terminal/shell-word.ts';

/** The options that choose the deployment and the job. */
export interface Where {
  stage?: string;
  region?: string;
  'aws-profile'?: string;
  job?: string;
  local?: boolean;
}

/** Returns a command about a backfill, ready to paste into a shell. */
export function backfillCommand(
  where: Where,
  what: { watch?: string; cancel?: string; resume?: string; ids?: string[] },
) {
  const options: [string, string | true | undefined][] = [
    ['stage', where.stage],
    ['region', where.region],
    ['aws-profile', where['aws-profile']],
    ['job', where.job],
    ['local', where.local || undefined],
    ['watch', what.watch],
    ['cancel', what.cancel],
    ['resume', what.resume],
    ['ids', what.ids && joinIds(what.ids)],
  ];
  const words = options.flatMap(([name, value]) => {
    if (value === undefined) return [];
    return value === true ? [`--${name}`] : [option(name, value)];
  });
  return ['npx serverless backfill', ...words].join(' ');
}

/** Without the equals sign, a value that begins with a dash would be another option. */
const option = (name: string, value: string) => `--${name}${value.startsWith('-') ? '=' : ' '}${shellWord(value)}`;

/** A list that `--ids` splits into the same ids: JSON where commas would not do, or where a character needs its escape. */
const joinIds = (ids: string[]) =>
  ids.some((id) => /^\[|,|^\s|\s$/.test(id) || printable(id) !== id) ? printable(JSON.stringify(ids)) : ids.join(',');
