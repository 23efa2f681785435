import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readDotenv } from '../stage/dotenv.ts';
import { every, parseInterval, parseSchedule, type Schedule } from '../stage/schedule.ts';
import { announce } from '../terminal/announce.ts';
import { onInterrupt } from '../terminal/interrupt.ts';
import { shellWord } from '../terminal/shell-word.ts';
import { startCloud } from './cloud.ts';
import { readable } from './log-line.ts';

const USAGE = 'usage: npm run dev [-- --stage <stage>] [--every 10s]';

/** How long a run that was asked to stop may take to save and unlock. */
const DRAIN_MS = 30_000;

/** Timers of Node hold at most 24.8 days. */
const LONGEST_SLEEP_MS = 86_400_000;

function readArgs() {
  try {
    const { values } = parseArgs({ options: { stage: { type: 'string', default: 'dev' }, every: { type: 'string' } } });
    return { stage: values.stage, everyMs: values.every === undefined ? undefined : parseInterval(values.every) };
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(1);
  }
}

const { stage, everyMs } = readArgs();
const stop = new AbortController();
let starting = true;
onInterrupt(() => {
  // Before there is anything to drain: what was started already ends with this process.
  if (starting) process.exit(130);
  console.log('stopping: a run that is under way saves and unlocks; Ctrl-C again kills');
  stop.abort();
});

// For local runs `.env` goes before the stage's settings and the local addresses. Which stage it is `--stage` says, how many
// shards its file, and with a profile, which is for `invoke local`, the SDK would not take the local credentials.
const {
  STAGE: _stage,
  SHARDS: _shards,
  AWS_PROFILE: _profile,
  ...env
} = readDotenv(join(import.meta.dirname, '../..'), (line) => console.log(line));
await using cloud = await startCloud({
  ...{ stage, env },
  onProgress: (line) => console.log(line),
  onLog: (name, line) => console.log(readable(name, line)),
}).catch((error: Error) => {
  console.error(error.message);
  process.exit(1);
});
// npm runs its scripts in the folder of the project.
announce(process.cwd(), { url: cloud.lambdaUrl, stage });
starting = false;

const { functions, config, etcd } = cloud;
const [sourceUrl, targetUrl] = [env.SOURCE_URL ?? cloud.source.url, env.TARGET_URL ?? cloud.target.url];
const endpoints = env.ETCD_ENDPOINTS ?? etcd.endpoints.join(',');
const now = new Date();
const schedule = everyMs
  ? every(everyMs, now)
  : parseSchedule(config.schedule.expression, config.schedule.timezone, now);
/** What an event names of the job, where it runs in shards: a tick for each. */
const parts = Array.from({ length: config.shards }, (_, index) =>
  config.shards > 1 ? { shard: { index, of: config.shards } } : {},
);
const invoke = (name: string, event: unknown) =>
  `  curl -d ${shellWord(JSON.stringify(event))} ${cloud.lambdaUrl}/2015-03-31/functions/${name}/invocations`;
console.log(`source ${sourceUrl}, target ${targetUrl}, etcd ${endpoints}
ticks: ${everyMs ? `every ${everyMs / 1000} s` : `${config.schedule.expression}, ${config.schedule.timezone}`}
by hand:
${invoke('sync', { ...parts[0] })}
${invoke('backfill', { ids: [cloud.records[0]?.id], ...parts[0] })}
${invoke('control', { action: 'status' })}
to hold the lock, from another terminal:
  ${[etcd.etcdctlPath, `--endpoints=${endpoints}`, 'lock', cloud.lockKey].map(shellWord).join(' ')}
Ctrl-C stops.`);

await tickBy(schedule, stop.signal);
await Promise.all(Object.values(functions).map((fn) => fn.drain(DRAIN_MS)));

/** Sends ticks until the signal aborts, whether earlier ones have ended or not: that is what the lock is for. */
async function tickBy(schedule: Schedule, signal: AbortSignal) {
  // A rate's first tick is at its start.
  let due = schedule(new Date(now.getTime() - 1));
  while (due && !signal.aborted) {
    for (let waitMs = due.getTime() - Date.now(); waitMs > 0 && !signal.aborted; waitMs = due.getTime() - Date.now()) {
      await sleep(Math.min(waitMs, LONGEST_SLEEP_MS), undefined, { signal }).catch(() => undefined);
    }
    if (signal.aborted) return;
    const scheduledTime = due.toISOString();
    console.log(`tick of ${scheduledTime}`);
    for (const part of parts)
      functions.sync.invoke({ kind: 'tick', scheduledTime, ...part }).then(
        ({ payload, error }) => console.log(`tick of ${scheduledTime}: ${JSON.stringify(payload ?? error)}`),
        () => undefined,
      );
    // What came due while this machine slept is not made up for.
    due = schedule(new Date(Math.max(due.getTime(), Date.now() - 1)));
  }
  if (signal.aborted) return;
  console.log('the schedule has no further tick');
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
}
