import { rmSync } from 'node:fs';

/**
 * Removes `folder` if this process ends, by Ctrl-C for instance, before whoever made it has done so. Returns what calls that
 * off.
 */
export function removeAtExit(folder: string): () => void {
  // A child that is about to end may still write into it.
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.once('exit', remove);
  return () => process.off('exit', remove);
}
