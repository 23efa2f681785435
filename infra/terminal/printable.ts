import { UNPRINTABLE } from '../../lib/shell-quoted.ts';

/**
 * `text` with its unprintable characters escaped as JSON writes them, so that a stranger's id, note or message can neither
 * command the terminal nor look like a line of ours. JSON stays JSON of the same value.
 */
export const printable = (text: string): string => text.replace(UNPRINTABLE, escaped);

function escaped(character: string): string {
  const short = JSON.stringify(character).slice(1, -1);
  if (short !== character) return short;
  return Array.from(
    { length: character.length },
    (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`,
  ).join('');
}
