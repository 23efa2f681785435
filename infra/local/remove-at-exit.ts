import { existsSync, rmSync } from 'node:fs';

/**
 * Removes `folder` if this process ends, by Ctrl-C for instance, before whoever made it has done so. Returns what calls that
 * off.
 */
export function removeAtExit(folder: string): () => void {
  const remove = () => {
    // Children of children that are about to end may still write into it, and make it anew, so it has to stay away for a while.
    for (let tries = 0, away = 0; tries < 40 && away < 4; tries++) {
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
      away = existsSync(folder) ? 0 : away + 1;
    }
  };
  process.once('exit', remove);
  return () => process.off('exit', remove);
}
