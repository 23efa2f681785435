import { parseArgs } from 'node:util';
import { onInterrupt } from '../terminal/interrupt.ts';
import { type LocalCloud, startCloud } from './cloud.ts';
import { readable } from './log-line.ts';
import { tickTwice } from './tick-twice.ts';

let json = false;
try {
  json = parseArgs({ options: { json: { type: 'boolean' } } }).values.json ?? false;
} catch (error) {
  console.error(`${(error as Error).message}\nusage: npm start [-- --json]`);
  process.exit(1);
}

const startedMs = performance.now();
const logs: string[] = [];
const interrupted = Promise.withResolvers<never>();
let cloud: LocalCloud | undefined;
onInterrupt((signal) => {
  // During the start, each part removes itself when this process ends.
  if (!cloud) process.exit(130);
  interrupted.reject(new Error(`stopped by ${signal}`));
});

try {
  cloud = await startCloud({
    stage: 'dev',
    onProgress: (line) => console.log(line),
    onLog: (name, line) => logs.push(readable(name, line)),
  });
  const { outcome, faults } = await Promise.race([tickTwice(cloud), interrupted.promise]);
  for (const fault of faults) console.log(`WRONG: ${fault}`);
  if (faults.length > 0) console.log(['the last log lines of the functions:', ...logs.slice(-40)].join('\n'));
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`${faults.length === 0 ? 'all as it should be' : 'FAILED'}, ${seconds} s`);
  if (json) console.log(JSON.stringify(outcome));
  process.exitCode = faults.length === 0 ? 0 : 1;
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  await cloud?.[Symbol.asyncDispose]();
}
