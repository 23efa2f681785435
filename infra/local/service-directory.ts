import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Parts, serviceFolder } from '../bundle/artifact.ts';
import { temporary } from './remove-at-exit.ts';

/** A service directory that is removed at disposal, or when this process exits before. */
export async function serviceDirectory(parts: Parts = {}): Promise<{ path: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'solotick-cloud-'));
  await using stack = new AsyncDisposableStack();
  stack.use(temporary(folder));
  const path = await serviceFolder(folder, parts);
  const owned = stack.move();
  return { path, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
