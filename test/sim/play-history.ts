import './hooks.ts';
import type { Job } from '../../lib/job.ts';
import type { Log } from '../../lib/log.ts';
import type { Result } from '../../lib/run/result.ts';
import type { SecretStore } from '../../lib/settings/secrets.ts';
import { mulberry32 } from '../support/random.ts';
import { checkRequests } from './check-requests.ts';
import { checkRest } from './check-rest.ts';
import { checkResults } from './check-results.ts';
import { createModelEtcd } from './etcd.ts';
import { endOfFaults, type Fault, type History, type Invocation } from './history.ts';
import { current, type Process, RIGHT_CLOCKS, startProcess } from './process.ts';
import { type Checkpoint, placesOf, type Running, type Status } from './running.ts';
import { createModelSource } from './source.ts';
import { createModelTarget } from './target.ts';
import { createTimeline } from './timeline.ts';
import { joinWorld, type World } from './world.ts';

// After the hooks, so that lib gets the simulated world.
const { run } = await import('../../lib/run/run.ts');
const { control } = await import('../../lib/run/control.ts');
const { createMetrics } = await import('../../lib/run/metrics.ts');
const { readSettings } = await import('../../lib/settings/config.ts');
const { parseBackfill, parseControl, parseTick } = await import('../../lib/event.ts');
const { job } = (await import('../support/job.ts')) as { job: Job<unknown> };
// What a run loads on the way is loaded by now, so that no event of the simulated world waits for a file.
await Promise.all(
  ['run/work', 'run/continuation', 'run/rehearse', 'copy/dead-letter-queue'].map(
    (name) => import(`../../lib/${name}.ts`),
  ),
);

/** What came of a history. */
export interface Played {
  violations: string[];
  /** How often each outcome was seen. */
  outcomes: Record<string, number>;
  events: number;
}

/** Settings that are the same in all worlds. */
const PLACES = {
  ...{ STAGE: 'sim', SECRET_ID: 'sim', TARGET_REGION_ID: 'eu' },
  ...{ SOURCE_URL: 'http://source', TARGET_URL: 'http://target', ETCD_ENDPOINTS: 'http://etcd-1:2379' },
  ...{ LOCK_KEY: '/sim/lock', STATE_PREFIX: '/sim/state/' },
};

/** The longest that an invocation takes, and the longest that a dead one holds the lock. */
const UNTIL_REST_MS = 120_000;

/**
 * Plays a history to its end, and three quiet ticks more. Has to be called outside of promises' callbacks.
 * @param tell receives what happens, a line each
 */
export function playHistory(history: History, tell?: (what: string) => void): Played {
  const violations: string[] = [];
  const outcomes: Record<string, number> = {};
  const timeline = createTimeline();
  const running = new Map<string, Running>();
  const serverChance = mulberry32(history.seed ^ 0xca11);
  const settings = readSettings({ ...PLACES, ...history.env }, job.name);
  const base = { pausedSinceMs: Number.POSITIVE_INFINITY, history, timeline };
  const [deadLetters, denied] = [new Set<string>(), new Set<string>()];
  let invokedAgain = 0;
  /** The runs in which a record failed by its own fault, by its id; with an empty id those whose target was up. */
  const blame = new Map<string, Set<string>>();
  const unreadableTo = new Map<string, Set<string>>();
  const jobPlayed = history.readsById ? job : { ...job, source: { ...job.source, one: undefined } };

  const world = {
    ...{ ...base, deadLetters, denied },
    clocksGoBack: clocksGo(history, -1),
    clocksGoAhead: clocksGo(history, 1),
    etcd: createModelEtcd({
      nowMs: () => timeline.nowMs,
      at: timeline.at,
      expired: (id) => requests.leaseExpired(id),
    }),
    violation(what) {
      world.tell(`VIOLATION ${what}`);
      violations.push(what);
    },
    tell: (what) => tell?.(`${(timeline.nowMs / 1000).toFixed(3)} ${what}`),
    blamed: (id, run) => void blame.set(id, (blame.get(id) ?? new Set()).add(run)),
    unreadable(id, run) {
      world.blamed(id, run);
      unreadableTo.set(id, (unreadableTo.get(id) ?? new Set()).add(run));
    },
    unreadableTo,
    invoked(event) {
      const name = `again-${++invokedAgain}`;
      timeline.at(timeline.nowMs + 200, () =>
        start({
          ...{ name, atMs: timeline.nowMs, function: 'sync', event },
          remainingMs: 60_000,
          clocks: RIGHT_CLOCKS,
          faults: [],
        }),
      );
    },
    requestMade(process, request) {
      world.tell(`${process.name} ${request.method} ${request.to} ${request.path}`);
      requests.requestMade(process, request);
    },
    answerReceived(process, request, answer) {
      world.tell(`${process.name} got ${answer.status} for ${request.path}`);
      requests.answerReceived(process, request, answer);
    },
    requestEnded: (process, request) => requests.requestEnded(process, request),
  } as Omit<World, 'source' | 'target'> as World;
  world.source = createModelSource(world, serverChance);
  world.target = createModelTarget(world, serverChance);
  const requests = checkRequests(world, running);
  const checkEnded = checkResults(world);

  const onRejection = (error: unknown) => world.violation(`nobody handles ${(error as Error)?.stack ?? error}`);
  process.on('unhandledRejection', onRejection);
  try {
    putLeftBehind();
    for (const invocation of history.invocations) timeline.at(invocation.atMs, () => start(invocation));
    for (const { atMs, id, kind, shownAfterMs } of history.changes)
      timeline.at(atMs, () => {
        world.tell(`the source: ${kind} ${id}`);
        world.source.change(id, kind, shownAfterMs);
      });
    for (const weather of history.weather) if (weather.kind === 'restore') planRestore(weather);
    timeline.run(endOfFaults(history));
    timeline.run(timeline.nowMs + UNTIL_REST_MS);
    timeline.run(timeline.nowMs + UNTIL_REST_MS);
    checkRest({ world, running, history, blame, runNow, violation: world.violation });
  } catch (error) {
    world.violation((error as Error).stack ?? String(error));
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  return { violations, outcomes, events: timeline.events };

  function putLeftBehind() {
    const success = Object.entries(history.leftBehind).map(([name, value]) => ({
      request_put: { key: Buffer.from(`/sim/state/${name}`), value: Buffer.from(JSON.stringify(value)) },
    }));
    if (success.length > 0) world.etcd.txn({ success });
  }

  function planRestore(weather: History['weather'][number] & { kind: 'restore' }) {
    const { fromMs, forMs, backMs, bumpRevision } = weather;
    let snapshot = world.etcd.snapshot();
    timeline.at(fromMs - backMs, () => {
      snapshot = world.etcd.snapshot();
    });
    timeline.at(fromMs + forMs, () => {
      world.tell('etcd is restored');
      world.pausedSinceMs = Number.POSITIVE_INFINITY;
      world.etcd.restore(snapshot, { bumpRevision });
    });
  }

  /** Starts an invocation in a process of its own. */
  function start(invocation: Invocation): Running {
    const { name, event, remainingMs, clocks, faults } = invocation;
    const random = mulberry32(history.seed ^ hashOf(name));
    const simulated = startProcess(timeline, { name, clocks, random, sessionOpened });
    joinWorld(simulated, world);
    const stop = new AbortController();
    const run: Running = {
      ...{ invocation, process: simulated, settings, startedMs: timeline.nowMs, metrics: [] },
      startedMonotonicMs: simulated.monotonicMs(),
    };
    running.set(name, run);
    world.tell(`${name} starts: ${invocation.function} ${JSON.stringify(event)} for ${remainingMs} ms`);
    plan(faults, run, stop);
    const log = logOf(name);
    emitted.set(simulated, run.metrics);
    const secrets = SECRETS;
    const given = {
      settings,
      secrets,
      log,
      requestId: name,
      functionName: 'sim',
      remainingMs,
      stop: stop.signal,
      metrics,
    };
    const ended = (outcome: NonNullable<Running['outcome']>) => {
      if (simulated.dead) return;
      run.outcome = outcome;
      const label = labelOf(outcome);
      outcomes[label] = (outcomes[label] ?? 0) + 1;
      world.tell(`${name} ends: ${label}`);
      checkEnded(run);
    };
    simulated.enter(() =>
      invoke(invocation, given).then(
        (result) => ended({ result }),
        (error) => ended({ error }),
      ),
    );
    const giveUpMs = (remainingMs + 5000) / clocks.monotonicRate;
    timeline.at(timeline.nowMs + giveUpMs + UNTIL_REST_MS / 2, () => {
      if (!run.outcome && !simulated.dead) world.violation(`${name} has not ended in ${remainingMs} ms`);
    });
    return run;
  }

  function sessionOpened({ name, session }: Process) {
    const run = running.get(name)!;
    const checkpoint = world.etcd.value(`${placesOf(run).statePrefix}checkpoint`) as Checkpoint | undefined;
    run.opening = { atMs: timeline.nowMs, restores: world.etcd.restores, checkpoint };
    world.tell(`${name} has lease ${session?.leaseId}`);
  }

  async function invoke(invocation: Invocation, given: Parameters<typeof run>[2]): Promise<Result | Status> {
    const { goesOnWith, event } = invocation;
    if (invocation.function === 'sync') return run(jobPlayed as Job<unknown>, parseTick(event), given);
    if (invocation.function === 'control') return changeByHand(invocation, given);
    const outcome = goesOnWith === undefined ? undefined : running.get(goesOnWith)?.outcome;
    const before = outcome && 'result' in outcome ? (outcome.result as Result) : undefined;
    const backfillId = before?.status === 'partial' ? before.backfillId : undefined;
    return run(jobPlayed as Job<unknown>, parseBackfill({ ...event, ...(backfillId && { backfillId }) }), given);
  }

  async function changeByHand({ event }: Invocation, given: Parameters<typeof run>[2]): Promise<Status> {
    // Until it has succeeded, nobody knows whether the job is paused.
    if (event.action === 'pause' || event.action === 'resume') world.pausedSinceMs = Number.POSITIVE_INFINITY;
    const status = await control(parseControl(event), given);
    const alone = !history.invocations.some(({ event }) => event.action === 'resume');
    if (event.action === 'pause' && alone && world.etcd.restores === 0) world.pausedSinceMs = timeline.nowMs;
    return status;
  }

  function plan(faults: Fault[], run: Running, stop: AbortController) {
    const { process } = run;
    const waiting = faults.filter((fault) => 'call' in fault);
    const strike = (fault: Fault) => {
      world.tell(`${process.name}: ${JSON.stringify(fault)}`);
      if (fault.kind === 'kill') process.kill();
      else if (fault.kind === 'jump') process.jump(fault.byMs);
      else if (fault.kind === 'terminate') {
        run.terminatedMonotonicMs ??= process.monotonicMs();
        process.arrive(() => stop.abort());
      } else process.stop(fault.forMs, fault.kind === 'suspend');
    };
    for (const fault of faults) {
      if ('afterMs' in fault)
        timeline.at(timeline.nowMs + fault.afterMs, () => {
          if (!run.outcome) strike(fault);
        });
    }
    process.onCall = (call) => {
      const due = waiting.filter((fault) => 'call' in fault && fault.call === call);
      for (const fault of due) strike(fault);
      return !process.dead || due.some((fault) => fault.kind === 'kill' && fault.callLeaves === true);
    };
  }

  /** Runs one more invocation now, in a world without faults. */
  function runNow(invocation: Pick<Invocation, 'name' | 'function' | 'event'>): Running {
    const started = start({
      ...{ ...invocation, atMs: timeline.nowMs, remainingMs: 900_000, clocks: RIGHT_CLOCKS, faults: [] },
    });
    for (let waited = 0; waited < 90 && !started.outcome; waited++) timeline.run(timeline.nowMs + 10_000);
    return started;
  }

  function logOf(name: string): Log {
    const line = (level: string) => (message: unknown, fields: unknown) =>
      tell && world.tell(`${name} ${level} ${message} ${JSON.stringify(fields, errorsAsText) ?? ''}`);
    return {
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      debug: line('debug'),
      appendKeys() {},
    } as never;
  }
}

/** The metrics of each process. */
const emitted = new WeakMap<Process, Record<string, unknown>[]>();
const metrics = createMetrics({ stage: 'sim', job: job.name }, console as never, (line) => {
  emitted.get(current()!)!.push(JSON.parse(line));
});

const SECRET = { source: { username: 'reader', password: 'word' }, target: { token: 'token' }, etcd: {} };
const version = async () => ({ secret: SECRET, versionId: '1', readAtMs: 0 });
const SECRETS: SecretStore = { read: version, readAgain: version };

const errorsAsText = (_: string, value: unknown) =>
  value instanceof Error ? `${value.name}: ${value.message}` : value;

/** Whether some process's wall clock is, or comes, ahead (1) or behind (-1) of the time. */
const clocksGo = ({ invocations }: History, way: 1 | -1) =>
  invocations.some(
    ({ clocks, faults }) =>
      clocks.wallAheadMs * way > 0 ||
      (clocks.wallRate - 1) * way > 0 ||
      faults.some((fault) => fault.kind === 'jump' && fault.byMs * way > 0),
  );

function labelOf(outcome: NonNullable<Running['outcome']>): string {
  if ('error' in outcome) return (outcome.error as Error)?.name ?? 'thrown';
  const { result } = outcome;
  if (!('status' in result)) return 'status';
  return result.status === 'completed' ? 'completed' : `${result.status} ${result.reason}`;
}

/** FNV-1a, so that a process draws the same whatever else is in its history. */
const hashOf = (name: string) =>
  [...name].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 0x01000193), 0x811c9dc5);
