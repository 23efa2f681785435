import { printable } from './printable.ts';

/** One line, or several. */
export type Lines = string | readonly string[];

/**
 * Makes the function through which all text for an operator goes: it prints each line as one line, whatever strangers wrote
 * into it.
 */
export const linePrinter = (write: (line: string) => void) => (lines: Lines) => {
  for (const line of [lines].flat()) write(printable(line));
};

/** Prints on standard output. */
export const say = linePrinter((line) => console.log(line));

/** Prints on standard error. */
export const complain = linePrinter((line) => console.error(line));
