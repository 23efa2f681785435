import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// Loads a handler and calls it with an event, if given, as Lambda does; the last line holds the timings.
const [file, name, event] = process.argv.slice(2) as [string, string, string | undefined];
const loaded = file.endsWith('.cjs') ? createRequire(file)(file) : await import(pathToFileURL(file).href);
const handler = loaded[name];
const readyAtMs = performance.timeOrigin + performance.now();

const startedMs = performance.now();
const cpu = process.cpuUsage();
const context = {
  awsRequestId: 'bench',
  functionName: 'solotick-bench-sync',
  getRemainingTimeInMillis: () => 900_000 - (performance.now() - startedMs),
};
const result = event === undefined ? undefined : await handler(JSON.parse(event), context);
const endedMs = performance.now();
const { user, system } = process.cpuUsage(cpu);
const told = {
  readyAtMs,
  endedAtMs: performance.timeOrigin + endedMs,
  durationMs: endedMs - startedMs,
  cpuMs: (user + system) / 1000,
  peakMb: Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024,
  result,
};
process.stdout.write(`\n${JSON.stringify(told)}\n`, () => process.exit());
