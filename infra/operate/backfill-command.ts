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

type Option = [name: string, value: string | true | undefined];

/** Returns a command about the job of this deployment, ready to paste into a shell. */
export function commandFor(name: string, where: Where, own: Option[]): string {
  const options: Option[] = [
    ['stage', where.stage],
    ['region', where.region],
    ['aws-profile', where['aws-profile']],
    ['job', where.job],
    ['local', where.local || undefined],
    ...own,
  ];
  const words = options.flatMap(([name, value]) => {
    if (value === undefined) return [];
    return value === true ? [`--${name}`] : [option(name, value)];
  });
  return [`npx serverless ${name}`, ...words].join(' ');
}

/** Returns a command about a backfill, ready to paste into a shell. */
export const backfillCommand = (
  where: Where,
  what: { watch?: string; cancel?: string; resume?: string; ids?: string[] },
) =>
  commandFor('backfill', where, [
    ['watch', what.watch],
    ['cancel', what.cancel],
    ['resume', what.resume],
    ['ids', what.ids && joinIds(what.ids)],
  ]);

/** Without the equals sign, a value that begins with a dash would be another option. */
const option = (name: string, value: string) => `--${name}${value.startsWith('-') ? '=' : ' '}${shellWord(value)}`;

/** A list that `--ids` splits into the same ids: JSON where commas would not do, or where a character needs its escape. */
const joinIds = (ids: string[]) =>
  ids.some((id) => /^\[|,|^\s|\s$/.test(id) || printable(id) !== id) ? printable(JSON.stringify(ids)) : ids.join(',');
