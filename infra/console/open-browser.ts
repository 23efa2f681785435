import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** By then, a browser has read the file. */
const REMOVE_AFTER_MS = 30_000;

/**
 * Opens `url` in the reader's browser, if there is one; nothing is said if there is not. Every user of this machine can read the
 * arguments of all processes, so the opener is given a file that only this user can read, which leads to the address.
 */
export function openBrowser(url: string, serviceDir: string): void {
  const opener = openerOf(process.platform, process.env);
  if (!opener) return;
  const folder = join(serviceDir, '.cache');
  const file = join(folder, `console-${process.pid}.html`);
  const remove = () => rmSync(file, { force: true });
  try {
    mkdirSync(folder, { recursive: true });
    remove();
    writeFileSync(file, `<!doctype html><title>solotick</title><meta http-equiv="refresh" content="0;url=${url}">\n`, {
      mode: 0o600,
      flag: 'wx',
    });
  } catch {
    return;
  }
  process.once('exit', remove);
  setTimeout(remove, REMOVE_AFTER_MS).unref();
  spawn(opener, [pathToFileURL(file).href], { stdio: 'ignore', detached: true })
    .on('error', () => undefined)
    .unref();
}

/** The platform's own; on Linux only with a screen, because there it may be a browser for terminals. */
function openerOf(platform: NodeJS.Platform, { DISPLAY, WAYLAND_DISPLAY }: NodeJS.ProcessEnv): string | undefined {
  if (platform === 'darwin') return 'open';
  return platform === 'linux' && (DISPLAY || WAYLAND_DISPLAY) ? 'xdg-open' : undefined;
}
