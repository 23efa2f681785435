/**
 * A character that a terminal or an editor does not show as itself: it moves the cursor, changes colours, begins a line, or
 * reorders or hides what stands around it. Joiners are left out, because some scripts and emoji need them.
 */
export const UNPRINTABLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Quotes a word for a shell, so that a command that quotes strangers' text can be pasted. Text with unprintable characters
 * becomes `$'…'` with their bytes in octal, which bash, zsh, ksh and POSIX 2024 read.
 */
export function shellQuoted(word: string): string {
  if (word.search(UNPRINTABLE) < 0) return `'${word.replaceAll("'", "'\\''")}'`;
  const escaped = word.replace(/['\\]/g, '\\$&').replace(UNPRINTABLE, inOctal);
  return `$'${escaped}'`;
}

const inOctal = (character: string) =>
  [...Buffer.from(character)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
