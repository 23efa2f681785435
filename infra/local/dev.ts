import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readDotenv } from '../stage/dotenv.ts';
import { every, parseInterval, parseSchedule } from '../stage/schedule.ts';
import { announce } from '../terminal/announce.ts';
import { onInterrupt } from '../terminal/interrupt.ts';
import { complain, say } from '../terminal/print-lines.ts';
import { shellWord } from '../terminal/shell-word.ts';
import { startCloud } from './cloud.ts';
import { readable } from './log-line.ts';
import { sendTicks } from './ticks.ts';

const USAGE = 'usage: npm run dev [-- --stage <stage>] [--every 10s]';

/** The time that a running invocation has to save and unlock after Ctrl-C. */
const DRAIN_MS = 30_000;

function readArgs() {
  try {
    const { values } = parseArgs({ options: { stage: { type: 'string', default: 'dev' }, every: { type: 'string' } } });
    return { stage: values.stage, everyMs: values.every === undefined ? undefined : parseInterval(values.every) };
  } catch (error) {
    complain([(error as Error).message, USAGE]);
    process.exit(1);
  }
}

const { stage, everyMs } = readArgs();
const stop = new AbortController();
let starting = true;
onInterrupt(() => {
  // There is nothing to drain yet, and what has started ends with this process.
  if (starting) process.exit(130);
  say('stopping: a run in progress saves and unlocks; Ctrl-C again kills it');
  stop.abort();
});

// `.env` overrides the stage's settings and the local addresses, with three exceptions: `--stage` names the stage, its file has
// the number of shards, and a profile, which is for `invoke local`, would keep the SDK from using the local credentials.
const {
  STAGE: _stage,
  SHARDS: _shards,
  AWS_PROFILE: _profile,
  ...env
} = readDotenv(join(import.meta.dirname, '../..'), say);
await using cloud = await startCloud({
  ...{ stage, env },
  onProgress: say,
  onLog: (name, line) => say(readable(name, line)),
}).catch((error: Error) => {
  complain(error.message.split('\n'));
  process.exit(1);
});
// npm runs scripts in the folder of the project.
announce(process.cwd(), { url: cloud.lambdaUrl, stage });
starting = false;

const { functions, config, etcd } = cloud;
const [sourceUrl, targetUrl] = [env.SOURCE_URL ?? cloud.source.url, env.TARGET_URL ?? cloud.target.url];
const endpoints = env.ETCD_ENDPOINTS ?? etcd.endpoints.join(',');
const start = new Date();
const schedule = everyMs
  ? every(everyMs, start)
  : parseSchedule(config.schedule.expression, config.schedule.timezone, start);
const parts = Array.from({ length: config.shards }, (_, index) =>
  config.shards > 1 ? { shard: { index, of: config.shards } } : {},
);
const curl = (name: string, event: unknown) =>
  `  curl -d ${shellWord(JSON.stringify(event))} ${cloud.lambdaUrl}/2015-03-31/functions/${name}/invocations`;
say([
  `source ${sourceUrl}, target ${targetUrl}, etcd ${endpoints}`,
  `ticks: ${everyMs ? `every ${everyMs / 1000} s` : `${config.schedule.expression}, ${config.schedule.timezone}`}`,
  'by hand:',
  curl('sync', { ...parts[0] }),
  curl('backfill', { ids: [cloud.records[0]?.id], ...parts[0] }),
  curl('control', { action: 'status' }),
  'to hold the lock, from another terminal:',
  `  ${[etcd.etcdctlPath, `--endpoints=${endpoints}`, 'lock', cloud.lockKey].map(shellWord).join(' ')}`,
  'Ctrl-C stops.',
]);

await sendTicks({ schedule, start, sync: functions.sync, parts, signal: stop.signal });
await Promise.all(Object.values(functions).map((fn) => fn.drain(DRAIN_MS)));
