import { mulberry32 } from '../support/random.ts';
import { checkOverlap } from './check-overlap.ts';
import { checkRequests } from './check-requests.ts';
import { checkRest } from './check-rest.ts';
import { checkResults } from './check-results.ts';
import { createModelEtcd } from './etcd.ts';
import { endOfFaults, type History, type Invocation } from './history.ts';
import { invoking } from './invoke.ts';
import { RIGHT_CLOCKS } from './process.ts';
import type { Running } from './running.ts';
import { createModelSource } from './source.ts';
import { createModelTarget } from './target.ts';
import { createTimeline } from './timeline.ts';
import type { World } from './world.ts';

/** What came of a history. */
export interface Played {
  violations: string[];
  /** How often each outcome was seen. */
  outcomes: Record<string, number>;
  events: number;
}

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
  const base = { pausedSinceMs: Number.POSITIVE_INFINITY, history, timeline };
  const [deadLetters, denied] = [new Set<string>(), new Set<string>()];
  let invokedAgain = 0;
  /** The runs in which a record failed by its own fault, by its id; with an empty id those whose target was up. */
  const blame = new Map<string, Set<string>>();
  const unreadableTo = new Map<string, Set<string>>();

  const world = {
    ...{ ...base, deadLetters, denied, told: tell !== undefined },
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
    sent: new Map(),
    invoked(process, event) {
      const name = `again-${++invokedAgain}`;
      timeline.at(timeline.nowMs + 200, () =>
        start({
          ...{ name, atMs: timeline.nowMs, function: 'sync', event, sentBy: process.name },
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
  const start = invoking(world, { running, ended });

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
    checkOverlap(world, running);
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
  function ended(run: Running) {
    const label = labelOf(run.outcome!);
    outcomes[label] = (outcomes[label] ?? 0) + 1;
    world.tell(`${run.process.name} ends: ${label}`);
    checkEnded(run);
  }

  /** Runs one more invocation now, in a world without faults. */
  function runNow(invocation: Pick<Invocation, 'name' | 'function' | 'event'>): Running {
    const started = start({
      ...{ ...invocation, atMs: timeline.nowMs, remainingMs: 900_000, clocks: RIGHT_CLOCKS, faults: [] },
    });
    for (let waited = 0; waited < 90 && !started.outcome; waited++) timeline.run(timeline.nowMs + 10_000);
    return started;
  }
}

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
