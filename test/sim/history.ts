import type { Clocks } from './process.ts';

/** All that a seed has drawn: a world, and what happens in it. Plain data, so that it can be cut down and printed. */
export interface History {
  seed: number;
  /** The drawn settings, as environment variables. */
  env: Record<string, string>;
  /** Whether the job can read a single record. */
  readsById: boolean;
  records: { id: string; ageSeconds: number; invalid?: boolean }[];
  source: {
    order: 'id' | 'updatedAt';
    pageSize: number;
    /** How many records of the page before a page repeats. */
    repeats: number;
    shuffles: boolean;
  };
  latencyMs: Record<Server, number>;
  /** What etcd holds at the beginning, as an older version has left it. */
  leftBehind: Record<string, unknown>;
  invocations: Invocation[];
  weather: Weather[];
  changes: Change[];
}

export type Server = 'etcd' | 'source' | 'target' | 'queue' | 'lambda';

/** An invocation of a function, each in a process of its own, and what befalls that process. */
export interface Invocation {
  name: string;
  atMs: number;
  function: 'sync' | 'backfill' | 'control';
  event: Record<string, unknown>;
  /** Goes on with the backfill of this invocation. */
  goesOnWith?: string;
  /** Was invoked by the process of this name. */
  sentBy?: string;
  remainingMs: number;
  clocks: Clocks;
  faults: Fault[];
}

/** At a time after the start, or when the process makes its n-th call to a server, before that call leaves. */
export type Moment = { afterMs: number } | { call: number };

export type Fault = Moment &
  (
    | { kind: 'pause' | 'suspend'; forMs: number }
    | { kind: 'kill'; callLeaves?: boolean }
    | { kind: 'jump'; byMs: number }
    /** The process is asked to end. */
    | { kind: 'terminate' }
  );

/** What is wrong with a server, or with the way to it, for a while. */
export type Weather = { fromMs: number; forMs: number } & (
  | ({ on: Server; who?: string } & (
      | { kind: 'unreachable' }
      | { kind: 'loses-requests' | 'loses-answers'; share: number }
      | { kind: 'slow'; byMs: number }
    ))
  | { on: 'etcd'; kind: 'no-leader' }
  /** At the end of this, etcd is as it was `backMs` before its beginning. */
  | { on: 'etcd'; kind: 'restore'; backMs: number; bumpRevision: boolean }
  | { on: 'source' | 'target'; kind: 'throttles'; status: 403 | 429 | 503; share: number; pause?: Pause }
  | { on: 'source' | 'target'; kind: 'fails'; status: number; share: number }
  /** Answers so to everybody. */
  | { on: 'target'; kind: 'refuses-everybody'; status: number }
  | { on: 'target'; kind: 'refuses'; ids: string[]; status: number }
  | { on: 'source'; kind: 'hides'; ids: string[]; status: number }
  | { on: 'source'; kind: 'refuses-cursors'; status: number }
  /** With `both`, the list holds the older version as well, behind the newer one where it is sorted by id. */
  | { on: 'source'; kind: 'shows-older-versions'; ids: string[]; both?: boolean }
  /** Answers as well as ever, and says that this request was the last one of a quota. */
  | { on: 'source' | 'target'; kind: 'spends'; share: number; pause: Pause }
  | { on: 'source' | 'target'; kind: 'wrong-clock'; aheadMs: number }
  | { on: 'source'; kind: 'garbles'; as: 'empty' | 'html' | 'cut'; share: number }
);

/** How a server says for how long it wants to be left alone. */
export type Pause = {
  seconds: number;
  as: 'retry-after' | 'retry-date' | 'quota-seconds' | 'quota-epoch' | 'quota-epoch-ms' | 'quota-list';
};

export interface Change {
  atMs: number;
  id: string;
  kind: 'change' | 'spoil' | 'delete';
  /** The source shows it only so much later, although it is dated at once. */
  shownAfterMs: number;
}

/** What goes wrong lasts until here; from then on everything is as it should be. */
export function endOfFaults({ invocations, weather, changes }: History): number {
  return Math.max(
    0,
    ...invocations.map(({ atMs }) => atMs),
    ...weather.map(({ fromMs, forMs }) => fromMs + (forMs === FOREVER ? 0 : forMs)),
    ...changes.map(({ atMs, shownAfterMs }) => atMs + shownAfterMs),
  );
}

/** For a target that never takes some records. */
export const FOREVER = 1e12;
