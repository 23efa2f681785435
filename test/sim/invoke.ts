import type { Log } from '../../lib/log.ts';
import type { Result } from '../../lib/run/result.ts';
import type { SecretStore } from '../../lib/settings/secrets.ts';
import { mulberry32 } from '../support/random.ts';
import type { Invocation } from './history.ts';
import { control, createMetrics, job, parseBackfill, parseControl, parseTick, readSettings, run } from './lib.ts';
import { current, type Process, startProcess } from './process.ts';
import { type Checkpoint, placesOf, type Running, type Status } from './running.ts';
import { planFaults } from './strike.ts';
import { joinWorld, type World } from './world.ts';

/** Settings that are the same in all worlds. */
const PLACES = {
  ...{ STAGE: 'sim', SECRET_ID: 'sim', TARGET_REGION_ID: 'eu' },
  ...{ SOURCE_URL: 'http://source', TARGET_URL: 'http://target', ETCD_ENDPOINTS: 'http://etcd-1:2379' },
  ...{ LOCK_KEY: '/sim/lock', STATE_PREFIX: '/sim/state/' },
};

/** A run that takes so much longer than it has will never end. */
const GIVE_UP_MS = 65_000;

/**
 * Returns the function that starts an invocation in a process of its own.
 * @param options.running gets each of them
 * @param options.ended is told of each that has ended by itself
 */
export function invoking(
  world: World,
  options: { running: Map<string, Running>; ended: (run: Running) => void },
): (invocation: Invocation) => Running {
  const { running, ended } = options;
  const { history, timeline, etcd } = world;
  const settings = readSettings({ ...PLACES, ...history.env }, job);
  const { one: _, ...listOnly } = job.source;
  const jobPlayed = history.readsById ? job : { ...job, source: listOnly };

  function start(invocation: Invocation): Running {
    const { name, event, remainingMs, clocks, faults } = invocation;
    const random = mulberry32(history.seed ^ hashOf(name));
    const simulated = startProcess(timeline, { name, clocks, random, sessionOpened });
    joinWorld(simulated, world);
    const stop = new AbortController();
    const started: Running = {
      ...{ invocation, process: simulated, settings, startedMs: timeline.nowMs, metrics: [] },
      ...{ refused: new Set<string>(), taken: false, unread: new Set<string>(), putOff: new Map() },
      startedMonotonicMs: simulated.monotonicMs(),
    };
    running.set(name, started);
    world.tell(`${name} starts: ${invocation.function} ${JSON.stringify(event)} for ${remainingMs} ms`);
    planFaults(faults, started, stop, world);
    emitted.set(simulated, started.metrics);
    const given = {
      ...{ settings, secrets: SECRETS, log: logOf(name, world), metrics, remainingMs, stop: stop.signal },
      ...{ requestId: name, functionName: `sim-${invocation.function}` },
    };
    const end = (outcome: NonNullable<Running['outcome']>) => {
      if (simulated.dead) return;
      started.outcome = outcome;
      started.endedMs = timeline.nowMs;
      ended(started);
    };
    simulated.enter(() =>
      invoke(invocation, given).then(
        (result) => end({ result }),
        (error) => end({ error }),
      ),
    );
    const givesUpAtMs = timeline.nowMs + remainingMs / clocks.monotonicRate + GIVE_UP_MS;
    /** A process that was stopped has that much longer: it may be stopped twice, for half a minute each. */
    function checkEnded(allowedStopMs: number) {
      if (started.outcome || simulated.dead) return;
      const { stoppedMs } = simulated;
      if (stoppedMs > allowedStopMs) timeline.at(givesUpAtMs + stoppedMs, () => checkEnded(stoppedMs));
      else world.violation(`${name} has not ended in ${remainingMs} ms`);
    }
    timeline.at(givesUpAtMs, () => checkEnded(0));
    return started;
  }

  function sessionOpened({ name, session }: Process) {
    const started = running.get(name)!;
    const checkpoint = etcd.value(`${placesOf(started).statePrefix}checkpoint`) as Checkpoint | undefined;
    started.opening = { atMs: timeline.nowMs, restores: etcd.restores, checkpoint };
    world.tell(`${name} has lease ${session?.leaseId}`);
  }

  async function invoke(invocation: Invocation, given: Parameters<typeof run>[2]): Promise<Result | Status> {
    const { goesOnWith, event } = invocation;
    if (invocation.function === 'sync') return run(jobPlayed, parseTick(event), given);
    if (invocation.function === 'control') return changeByHand(invocation, given);
    const outcome = goesOnWith === undefined ? undefined : running.get(goesOnWith)?.outcome;
    const before = outcome && 'result' in outcome ? (outcome.result as Result) : undefined;
    const backfillId = before?.status === 'partial' ? before.backfillId : undefined;
    return run(jobPlayed, parseBackfill({ ...event, ...(backfillId && { backfillId }) }), given);
  }

  async function changeByHand({ event }: Invocation, given: Parameters<typeof run>[2]): Promise<Status> {
    // Until it has succeeded, nobody knows whether the job is paused.
    if (event.action === 'pause' || event.action === 'resume') world.pausedSinceMs = Number.POSITIVE_INFINITY;
    const status = await control(parseControl(event), given);
    const alone = !history.invocations.some(({ event }) => event.action === 'resume');
    if (event.action === 'pause' && alone && etcd.restores === 0) world.pausedSinceMs = timeline.nowMs;
    return status;
  }

  return start;
}

/** The metrics of each process. */
const emitted = new WeakMap<Process, Record<string, unknown>[]>();
const metrics = createMetrics({ stage: 'sim', job: job.name }, console as never, (line) => {
  emitted.get(current()!)!.push(JSON.parse(line));
});

const OWN = { source: { username: 'reader', password: 'word' }, target: { token: 'token' } };
const SECRET = { etcd: {}, own: OWN };
const version = async () => ({ secret: SECRET, versionId: '1', readAtMs: 0 });
const SECRETS: SecretStore = { read: version, readAgain: version };

function logOf(name: string, { tell, told }: World): Log {
  const line = (level: string) => (message: unknown, fields: unknown) =>
    told && tell(`${name} ${level} ${message} ${JSON.stringify(fields, errorsAsText) ?? ''}`);
  return {
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    debug: line('debug'),
    appendKeys() {},
  } as never;
}

const errorsAsText = (_: string, value: unknown) =>
  value instanceof Error ? `${value.name}: ${value.message}` : value;

/** FNV-1a, so that a process draws the same whatever else is in its history. */
const hashOf = (name: string) =>
  [...name].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 0x01000193), 0x811c9dc5);
