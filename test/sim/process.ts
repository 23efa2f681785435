import { AsyncLocalStorage } from 'node:async_hooks';
import type { Session } from '../../lib/lock/session.ts';
import type { Timeline } from './timeline.ts';

/** What a process's clocks do, compared with the true time. */
export interface Clocks {
  /** How fast each one goes: 1 is right. */
  monotonicRate: number;
  wallRate: number;
  /** How far the wall clock is ahead when the process starts, in ms. */
  wallAheadMs: number;
}

export const RIGHT_CLOCKS: Clocks = { monotonicRate: 1, wallRate: 1, wallAheadMs: 0 };

/** One simulated process, which runs one invocation. Whatever is called by it, however indirectly, finds it by `current()`. */
export interface Process {
  readonly name: string;
  monotonicMs(): number;
  wallMs(): number;
  random(): number;
  /** Lets `act` happen in this process. */
  enter<T>(act: () => T): T;
  /** Something arrives from outside: at once, or once the process goes on; never if it is dead. */
  arrive(act: () => void): void;
  setTimer(act: () => void, delayMs: number, repeats: boolean): Timer;
  /** The timers that would still fire. */
  readonly timers: ReadonlySet<Timer>;
  /** Stops the process for a while. With `suspended` its monotonic clock stops as well, as when a machine sleeps. */
  stop(forMs: number, suspended: boolean): void;
  readonly stopped: boolean;
  /** For how long it has been stopped so far, in true time. */
  readonly stoppedMs: number;
  /** Nothing of it ever happens again. */
  kill(): void;
  readonly dead: boolean;
  jump(byMs: number): void;
  /** The session that it has opened, if it has. */
  session?: Session;
  sessionOpened(session: Session): void;
  /** Calls to servers so far; a fault may wait for one of them. */
  calls: number;
  /** Told the number of each call before it leaves. @returns whether it does leave */
  onCall?: (call: number) => boolean;
}

/** As much of Node's Timeout as anybody uses. */
export interface Timer {
  unref(): Timer;
  ref(): Timer;
  clear(): void;
}

const context = new AsyncLocalStorage<Process | undefined>();

/** The process in which we are; undefined outside of the simulated world. */
export const current = (): Process | undefined => context.getStore();

/** Lets `act` happen outside of all processes, as in a server. */
export const outside = <T>(act: () => T): T => context.run(undefined, act);

/** The wall time at which every world begins. */
export const EPOCH_MS = Date.UTC(2026, 5, 1, 12);

export function startProcess(
  timeline: Timeline,
  options: {
    name: string;
    clocks: Clocks;
    random: () => number;
    /** Told when the process has opened its session. */
    sessionOpened: (process: Process) => void;
  },
): Process {
  const { name, clocks, random, sessionOpened } = options;
  const bornMs = timeline.nowMs;
  const timers = new Set<Timer>();
  let wallAheadMs = clocks.wallAheadMs;
  /** How far the monotonic clock has stayed behind, and since when it stands. */
  let suspendedMs = 0;
  let standsSinceMs: number | undefined;
  let stops = 0;
  let stoppedMs = 0;
  let dead = false;
  /** What waits until the process goes on. Node looks at its sockets before its timers then. */
  let arrived: (() => void)[] = [];
  let due: (() => void)[] = [];

  const monotonicMs = () => 1000 + ((standsSinceMs ?? timeline.nowMs) - bornMs - suspendedMs) * clocks.monotonicRate;

  function enter<T>(act: () => T): T {
    return context.run(process, act);
  }

  function goOn(suspended: boolean) {
    if (suspended && standsSinceMs !== undefined) {
      suspendedMs += timeline.nowMs - standsSinceMs;
      standsSinceMs = undefined;
    }
    if (--stops > 0 || dead) return;
    const waiting = [...arrived, ...due];
    [arrived, due] = [[], []];
    for (const act of waiting) timeline.at(timeline.nowMs, act);
  }

  const process: Process = {
    name,
    monotonicMs,
    wallMs: () => EPOCH_MS + bornMs + (timeline.nowMs - bornMs) * clocks.wallRate + wallAheadMs,
    random,
    enter,
    arrive(act) {
      if (dead) return;
      if (stops > 0) arrived.push(() => process.arrive(act));
      else enter(act);
    },
    setTimer(act, delayMs, repeats) {
      // As Node does it: whole milliseconds, at least one.
      const waitMs = delayMs >= 1 && delayMs < 2 ** 31 ? Math.trunc(delayMs) : 1;
      let dueMs = monotonicMs() + waitMs;
      const timer: Timer = { unref: () => timer, ref: () => timer, clear: () => void timers.delete(timer) };
      const wait = () => timeline.at(timeline.nowMs + (dueMs - monotonicMs()) / clocks.monotonicRate, fire);
      function fire() {
        if (dead || !timers.has(timer)) return;
        if (stops > 0) due.push(fire);
        else if (dueMs - monotonicMs() > 1e-6) wait();
        else {
          if (repeats) {
            dueMs = monotonicMs() + waitMs;
            wait();
          } else timers.delete(timer);
          enter(act);
        }
      }
      timers.add(timer);
      wait();
      return timer;
    },
    timers,
    stop(forMs, suspended) {
      if (dead) return;
      stops++;
      stoppedMs += forMs;
      if (suspended) standsSinceMs ??= timeline.nowMs;
      timeline.at(timeline.nowMs + forMs, () => goOn(suspended));
    },
    get stopped() {
      return stops > 0;
    },
    get stoppedMs() {
      return stoppedMs;
    },
    kill() {
      dead = true;
      timers.clear();
    },
    get dead() {
      return dead;
    },
    jump(byMs) {
      wallAheadMs += byMs;
    },
    sessionOpened(session) {
      process.session = session;
      sessionOpened(process);
    },
    calls: 0,
  };
  return process;
}
