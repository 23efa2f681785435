import { parseArgs } from 'node:util';
import { onInterrupt } from '../terminal/interrupt.ts';
import { complain, say } from '../terminal/print-lines.ts';
import { type LocalCloud, startCloud } from './cloud.ts';
import { demonstrate } from './demonstration.ts';
import { readable } from './log-line.ts';

let json = false;
try {
  json = parseArgs({ options: { json: { type: 'boolean' } } }).values.json ?? false;
} catch (error) {
  complain([(error as Error).message, 'usage: npm start [-- --json]']);
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
    onProgress: say,
    onLog: (name, line) => logs.push(readable(name, line)),
  });
  const { outcome, faults } = await Promise.race([demonstrate(cloud), interrupted.promise]);
  for (const fault of faults) say(`WRONG: ${fault}`);
  if (faults.length > 0) say(['the last log lines of the functions:', ...logs.slice(-40)]);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  say(`${faults.length === 0 ? 'all as it should be' : 'FAILED'}, ${seconds} s`);
  if (json) say(JSON.stringify(outcome));
  process.exitCode = faults.length === 0 ? 0 : 1;
} catch (error) {
  complain((error as Error).message.split('\n'));
  process.exitCode = 1;
} finally {
  await cloud?.[Symbol.asyncDispose]();
}
