import { operator } from '../operate/backfill.ts';
import { onInterrupt } from '../terminal/interrupt.ts';
import type { Lines } from '../terminal/print-lines.ts';
import { openBrowser } from './open-browser.ts';
import { type Console, type ServedJobs, startConsole } from './server.ts';

export interface ConsoleOptions extends ServedJobs {
  /** The project's folder. */
  serviceDir: string;
  print(lines: Lines): void;
  /** Whether to open the page in the browser, where there is a terminal. */
  open: boolean;
}

/** Starts a console, prints its address, and opens it in the reader's browser where that is possible. */
export async function openConsole({ serviceDir, print, open, ...served }: ConsoleOptions): Promise<Console> {
  const started = await startConsole({ ...served, startedBy: operator() });
  print([`console: ${started.url}`, 'Whoever has this address can do what you can. Ctrl-C ends it.']);
  if (open && process.stdout.isTTY) openBrowser(started.url, serviceDir);
  return started;
}

/** Resolves at Ctrl-C. */
export const untilInterrupted = (): Promise<void> => new Promise((resolve) => onInterrupt(() => resolve()));
