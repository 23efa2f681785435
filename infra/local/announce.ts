import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = '.solotick-dev.json';

/** Leaves the address of this process' functions in `folder` until it exits, for commands with `--local`. */
export function announce(folder: string, url: string): void {
  writeFileSync(join(folder, FILE), JSON.stringify({ url }));
  process.once('exit', () => {
    // Another one may have been started since.
    if (announced(folder) === url) rmSync(join(folder, FILE), { force: true });
  });
}

/** The address that was left there. After a kill -9 nobody listens on it. */
export function announced(folder: string): string | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, FILE), 'utf8')).url;
  } catch {
    return undefined;
  }
}
