import { isDeepStrictEqual, parseArgs } from 'node:util';
import { onInterrupt } from '../terminal/interrupt.ts';
import { type LocalCloud, startCloud } from './cloud.ts';
import type { InvokeResult } from './lambda/function.ts';
import { readable } from './log-line.ts';

/** So slow that the first run, of more than ten such answers one after another, outlasts any start of the second. */
const SLOW_MS = 1500;

interface Result {
  status?: string;
  runId?: string;
  reason?: string;
  message?: string;
  fencingToken?: string;
  heldBy?: { runId?: string };
  report?: Record<string, number>;
}

interface Outcome {
  ticks: unknown[];
  sourceRecords: number;
  targetRecords: number;
  peakInFlight: number;
  locksLeft: number;
}

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
  // While things are being started, their guards clean up after this process.
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
  if (faults.length > 0) console.log(['the functions said:', ...logs.slice(-40)].join('\n'));
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

/** Two ticks of the timer, the second sent while the first one writes; then looks at what is left of them. */
async function tickTwice(cloud: LocalCloud): Promise<{ outcome: Outcome; faults: string[] }> {
  const { functions, target, records } = cloud;
  const tick = (scheduledMs: number) =>
    functions.sync.invoke({ kind: 'tick', scheduledTime: new Date(scheduledMs).toISOString() });
  const thisMinuteMs = Math.floor(Date.now() / 60_000) * 60_000;

  console.log(`tick 1: ${records.length} records at the source, the target answers slowly`);
  target.latencyMs = SLOW_MS;
  const writing = target.nextRequest();
  const first = tick(thisMinuteMs - 60_000);
  // A first tick that fails before it writes must not be waited for.
  await Promise.race([writing, first]);
  console.log('tick 2: sent now that tick 1 writes');
  const second = await tick(thisMinuteMs);
  target.latencyMs = 20;
  const invocations = [await first, second];
  for (const [index, invocation] of invocations.entries()) console.log(`tick ${index + 1}: ${summary(invocation)}`);

  const locksLeft = (await cloud.lockKeys()).length;
  console.log(
    `target: ${target.models.size} records, at most ${target.peakInFlight} writes in flight; locks left: ${locksLeft}`,
  );
  const outcome = {
    ticks: invocations.map(({ payload, error }) => payload ?? error),
    sourceRecords: records.length,
    targetRecords: target.models.size,
    peakInFlight: target.peakInFlight,
    locksLeft,
  };
  return { outcome, faults: [...check(invocations, cloud), ...(locksLeft === 0 ? [] : ['a lock was left'])] };
}

function summary({ payload, error, durationMs }: InvokeResult): string {
  const seconds = `${(durationMs / 1000).toFixed(2)} s`;
  if (error) return `failed after ${seconds}: ${error.errorType}: ${error.errorMessage}`;
  const { status, reason, message, heldBy, report, runId, fencingToken } = payload as Result;
  if (status === 'skipped') return `skipped in ${seconds} (${reason}): ${message ?? `held by run ${heldBy?.runId}`}`;
  const { read, written, invalid, failed, pages } = report ?? {};
  return `${status} in ${seconds}: run ${runId}, fencing token ${fencingToken}, ${pages} pages, ${read} read, ${written} written, ${invalid} invalid, ${failed} failed`;
}

function check([first, second]: InvokeResult[], { target, records, config }: LocalCloud): string[] {
  const [one, two] = [first?.payload ?? {}, second?.payload ?? {}] as [Result, Result];
  const wanted = new Map(records.map(({ id, ...body }) => [id, body]));
  const different = [...wanted].filter(([id, body]) => !isDeepStrictEqual(target.models.get(id), body));
  const limit = Number(config.settings.CONCURRENCY ?? 50);
  const checks: [boolean, string][] = [
    [one.status === 'completed', `tick 1 was to complete, and is ${one.status ?? first?.error?.errorMessage}`],
    [two.status === 'skipped', `tick 2 was to be skipped, and is ${two.status ?? second?.error?.errorMessage}`],
    [two.reason === 'locked', `tick 2 was to be skipped because of the lock, and not because of ${two.reason}`],
    [one.runId !== undefined && two.heldBy?.runId === one.runId, 'tick 2 does not name tick 1 as the holder'],
    [different.length === 0, `${different.length} records differ at the target, such as ${different[0]?.[0]}`],
    [target.models.size === wanted.size, `the target has ${target.models.size} records, the source ${wanted.size}`],
    [target.peakInFlight <= limit, `${target.peakInFlight} writes were in flight, and ${limit} are the limit`],
    [
      target.writes.every((write) => write.token === one.fencingToken),
      'a write carries a fencing token that is not that of tick 1',
    ],
  ];
  return checks.flatMap(([good, fault]) => (good ? [] : [fault]));
}
