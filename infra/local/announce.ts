import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = '.solotick-dev.json';

export interface Announced {
  url: string;
  stage: string;
}

/**
 * Leaves the address of this process' functions in `folder` until it exits, for commands with `--local`. The one that stood
 * there before, of another `npm run dev`, stands there again then.
 */
export function announce(folder: string, own: Announced): void {
  const before = announced(folder);
  const write = (announced: Announced) => writeFileSync(join(folder, FILE), JSON.stringify(announced));
  write(own);
  process.once('exit', () => {
    // Another one may have been started since.
    if (announced(folder)?.url !== own.url) return;
    if (before) write(before);
    else rmSync(join(folder, FILE), { force: true });
  });
}

/** What was left there. After a kill -9 nobody listens on it. */
export function announced(folder: string): Announced | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, FILE), 'utf8'));
  } catch {
    return undefined;
  }
}
