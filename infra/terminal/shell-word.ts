import { shellQuoted } from '../../lib/shell-quoted.ts';

/** Quotes `word` where a shell would split or expand it. */
export const shellWord = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : shellQuoted(word));
