import type { Lines } from './print-lines.ts';
import { printable } from './printable.ts';

/** A wrong option or a command that failed: the operator sees the message without a stack. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  /** The lines of the message, printable. */
  readonly lines: readonly string[];

  constructor(lines: Lines, options?: ErrorOptions) {
    const shown = [lines].flat().map(printable);
    super(shown.join('\n'), options);
    this.lines = shown;
  }
}
