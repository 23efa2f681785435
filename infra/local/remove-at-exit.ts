import { existsSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';

/** Removes `folder` when this process exits, by Ctrl-C for example. Returns a function that cancels this. */
export function removeAtExit(folder: string): () => void {
  const remove = () => {
    // Grandchildren that are about to end may create the folder again, on a busy machine late: it has to stay away for a second.
    for (let tries = 0, away = 0; tries < 100 && away < 20; tries++) {
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
      away = existsSync(folder) ? 0 : away + 1;
    }
  };
  process.once('exit', remove);
  return () => process.off('exit', remove);
}

/** Removes `folder` at disposal, or when this process exits before. */
export function temporary(folder: string): AsyncDisposable {
  const cancel = removeAtExit(folder);
  return {
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true });
      cancel();
    },
  };
}
