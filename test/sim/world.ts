import type { ModelEtcd } from './etcd.ts';
import type { Process } from './process.ts';
import type { Answer, Request } from './request.ts';
import type { ModelSource } from './source.ts';
import type { ModelTarget } from './target.ts';
import type { Surroundings } from './weather.ts';

/** Everything that a history is played with. */
export interface World extends Surroundings {
  /** Since when the job has certainly been paused. */
  pausedSinceMs: number;
  /** Whether some process's wall clock may be behind, or ahead. */
  clocksGoBack: boolean;
  clocksGoAhead: boolean;
  /** The records of which the source has said that it has none. */
  denied: Set<string>;
  etcd: ModelEtcd;
  source: ModelSource;
  target: ModelTarget;
  /** The ids in the dead-letter queue. */
  deadLetters: Set<string>;
  /** Something happened that must not. */
  violation(what: string): void;
  /** Whether somebody reads along, and what tells them what happens. */
  told: boolean;
  tell(what: string): void;
  /** A run had a reason to count an attempt to write this record; any record, if the target took something of it. */
  blamed(id: string, run: string): void;
  /** The source did not show this record to a run, which is a reason as well. */
  unreadable(id: string, run: string): void;
  /** The runs to which the source did not show a record, by its id. */
  unreadableTo: ReadonlyMap<string, ReadonlySet<string>>;
  /** A function was invoked by a run that wants to be continued, or that has made way for a tick. */
  invoked(process: Process, event: Record<string, unknown>): void;
  /** The events that each process has sent, or tried to send. */
  sent: Map<string, Record<string, unknown>[]>;
  /** A request is about to leave. */
  requestMade(process: Process, request: Request): void;
  requestEnded(process: Process, request: Request): void;
  answerReceived(process: Process, request: Request, answer: Answer): void;
}

const worlds = new WeakMap<Process, World>();

/** The world that a process lives in. */
export const worldOf = (process: Process): World => worlds.get(process)!;

export const joinWorld = (process: Process, world: World): void => void worlds.set(process, world);
