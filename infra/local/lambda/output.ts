import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';

interface Output {
  /** The lines so far; the reader may empty it. */
  logs: string[];
  /** Resolves once everything that this invocation printed has been read. To be called before the invocation starts. */
  endOf(requestId: string): Promise<void>;
}

/** Reads what a process prints. bootstrap.ts ends each invocation with a marker line on both streams. */
export function readOutput({ stdout, stderr }: ChildProcess, onLine: (line: string) => void): Output {
  const logs: string[] = [];
  let current: { marker: string; streamsLeft: number; ended: PromiseWithResolvers<void> } | undefined;
  for (const input of [stdout!, stderr!]) {
    onLines(input, (line) => {
      if (line === current?.marker) {
        if (--current.streamsLeft === 0) current.ended.resolve();
      } else if (line) {
        logs.push(line);
        onLine(line);
      }
    });
  }
  return {
    logs,
    endOf(requestId) {
      current = { marker: `END RequestId: ${requestId}`, streamsLeft: 2, ended: Promise.withResolvers() };
      return current.ended.promise;
    },
  };
}

/** Splits at line feeds only: readline splits at U+2028 as well, so a record's id could begin a line of its own. */
function onLines(input: Readable, onLine: (line: string) => void) {
  let rest = '';
  input.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  input.on('end', () => rest && onLine(rest));
}
