import type { Log } from '../../lib/log.ts';

/** A log, and the lines that were written to it. */
export function recordedLog() {
  const lines: { level: string; message: string; fields: unknown }[] = [];
  const write = (level: string) => (message: unknown, fields?: unknown) => {
    lines.push({ level, message: String(message), fields });
  };
  const log = {
    ...{ debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    appendKeys() {},
  } as unknown as Log;
  return { log, lines };
}
