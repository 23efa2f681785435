import { spawn } from 'node:child_process';

/**
 * Kills `pid` (and removes `folder`) once this process is gone, however it went: a shell waits for the end of a pipe that
 * only this process holds open. Returns what calls the guard off, to be done when the child has ended.
 */
export function guard(pid: number, folder = ''): () => void {
  const script = 'read -r _; kill -9 "$0" 2>/dev/null; [ -z "$1" ] || rm -rf "$1"';
  // Detached, or Ctrl-C in the terminal would end the guard before its charge.
  const shell = spawn('/bin/sh', ['-c', script, String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
  return () => shell.kill('SIGKILL');
}
