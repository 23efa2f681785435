import { join } from 'node:path';
import { startConsole } from '../console/server.ts';
import { operator } from '../operate/backfill.ts';
import { announcedJobs } from '../operate/jobs.ts';
import { JOBS_FOLDER } from '../stage/job-files.ts';
import { every, parseSchedule } from '../stage/schedule.ts';
import { announce, type Timer } from '../terminal/announce.ts';
import { onInterrupt } from '../terminal/interrupt.ts';
import { complain, say } from '../terminal/print-lines.ts';
import { shellWord } from '../terminal/shell-word.ts';
import { type LocalCloud, startCloud } from './cloud.ts';
import { type DevOptions, readDevOptions } from './dev-options.ts';
import { type JobCloud, startJobCloud } from './job-cloud.ts';
import { readable } from './log-line.ts';
import { serviceDirectory } from './service-directory.ts';
import { sendTicks } from './ticks.ts';

/** The time that a running invocation has to save and unlock after Ctrl-C. */
const DRAIN_MS = 30_000;

// npm runs scripts in the folder of the project.
const root = process.cwd();
const files = { jobs: join(root, JOBS_FOLDER), config: join(root, 'infra/config') };

function giveUp(error: Error): never {
  complain(error.message.split('\n'));
  process.exit(1);
}

/** The job's functions, and the demo's APIs if it has no others. */
async function startDev(own: AsyncDisposableStack, options: DevOptions): Promise<JobCloud & Partial<LocalCloud>> {
  const { service, stage, config, env, secret } = options;
  const hear = { onProgress: say, onLog: (name: string, line: string) => say(readable(name, line)) };
  const project = { ...files, service };
  if (secret === undefined) return own.use(await startCloud({ stage, project, env, ...hear }));
  const { path: serviceDir } = own.use(await serviceDirectory(project));
  return own.use(await startJobCloud({ serviceDir, service, stage, config, secret, env, ...hear }));
}

const stop = new AbortController();
let starting = true;
onInterrupt(() => {
  // There is nothing to drain yet, and what has started ends with this process.
  if (starting) process.exit(130);
  say('stopping: a run in progress saves and unlocks; Ctrl-C again kills it');
  stop.abort();
});

const options = await readDevOptions(root, process.argv.slice(2)).catch(giveUp);
const { stage, config, env, everyMs } = options;
await using own = new AsyncDisposableStack();
const cloud = await startDev(own, options).catch(giveUp);
const start = new Date();
const timer: Timer = { ...config.schedule, enabled: true, everyMs, start: start.toISOString() };
const announcement = { url: cloud.lambdaUrl, stage, jobs: [{ job: config.job, shards: config.shards, timer }] };
announce(root, announcement);
const shown = { stage, local: true, jobs: await announcedJobs(announcement), timers: announcement.jobs };
const { url: consoleUrl } = own.use(await startConsole({ ...shown, startedBy: operator() }));
say(`console: ${consoleUrl}`);
starting = false;

const { functions, etcd } = cloud;
const [sourceUrl, targetUrl] = (['source', 'target'] as const).map((side) => {
  const name = `${side.toUpperCase()}_URL`;
  return env[name] ?? cloud[side]?.url ?? config.settings[name];
});
const endpoints = env.ETCD_ENDPOINTS ?? etcd.endpoints.join(',');
const schedule = everyMs
  ? every(everyMs, start)
  : parseSchedule(config.schedule.expression, config.schedule.timezone, start);
const parts = Array.from({ length: config.shards }, (_, index) =>
  config.shards > 1 ? { shard: { index, of: config.shards } } : {},
);
const curl = (name: string, event: unknown) =>
  `  curl -d ${shellWord(JSON.stringify(event))} ${cloud.lambdaUrl}/2015-03-31/functions/${name}/invocations`;
// Of a source that is not the demo's we know no record yet; a rehearsal names some.
const [known] = cloud.records ?? [];
say([
  `job ${config.job}: source ${sourceUrl}, target ${targetUrl}, etcd ${endpoints}`,
  `ticks: ${everyMs ? `every ${everyMs / 1000} s` : `${config.schedule.expression}, ${config.schedule.timezone}`}`,
  'by hand:',
  curl('sync', { ...parts[0] }),
  curl('backfill', { ...(known ? { ids: [known.id] } : { dryRun: true }), ...parts[0] }),
  curl('control', { action: 'status' }),
  'to hold the lock, from another terminal:',
  `  ${[etcd.etcdctlPath, `--endpoints=${endpoints}`, 'lock', cloud.lockKey].map(shellWord).join(' ')}`,
  'Ctrl-C stops.',
]);

await sendTicks({ schedule, start, sync: functions.sync, parts, signal: stop.signal });
await Promise.all(Object.values(functions).map((fn) => fn.drain(DRAIN_MS)));
