import { spawn } from 'node:child_process';

/**
 * Kills `pid` and removes `folder` when this process ends, even by SIGKILL: a shell waits for the end of a pipe that only
 * this process holds open. Returns a function that ends the guard, for when the child has ended.
 */
export function guard(pid: number, folder = ''): () => void {
  const script = 'read -r _; kill -9 "$0" 2>/dev/null; [ -z "$1" ] || rm -rf "$1"';
  // Detached: Ctrl-C in the terminal must not end the guard before its child.
  const shell = spawn('/bin/sh', ['-c', script, String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
  return () => shell.kill('SIGKILL');
}
