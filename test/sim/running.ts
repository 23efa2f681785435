import type { control } from '../../lib/run/control.ts';
import type { Result } from '../../lib/run/result.ts';
import type { Settings } from '../../lib/settings/config.ts';
import type { Invocation } from './history.ts';
import type { Process } from './process.ts';

/** What control answers. */
export type Status = Awaited<ReturnType<typeof control>>;

/** An invocation that has been started. */
export interface Running {
  invocation: Invocation;
  process: Process;
  settings: Settings;
  startedMs: number;
  /** By its own monotonic clock. */
  startedMonotonicMs: number;
  /** When it was asked to end, by the same clock. */
  terminatedMonotonicMs?: number;
  /** How it ended; killed ones have no end. */
  outcome?: { result: Result | Status } | { error: unknown };
  /** When that was, after the start of the world. */
  endedMs?: number;
  metrics: Record<string, unknown>[];
  beginning?: Beginning;
  /** The paths that the target has refused it for good, and whether it has taken any. */
  refused: Set<string>;
  taken: boolean;
  /** By path, the answers of the target that were no 2xx: whether each has asked for a pause. */
  putOff: Map<string, boolean[]>;
  /** The records that it has asked the source for, each by its id, and not got so far. */
  unread: Set<string>;
  /** What there was when it opened its session. */
  opening?: {
    atMs: number;
    /** Restores of etcd until then. */
    restores: number;
    /** The saved progress of the timer. */
    checkpoint: Checkpoint | undefined;
  };
}

/** What there was when a run that holds the lock made its first request, before it could have changed anything. */
export interface Beginning {
  failed: NonNullable<Checkpoint['failed']>;
  watermark: unknown;
}

/** As much of the state as the checks look at. */
export interface Checkpoint {
  pass?: { runId: string; cursor: string | null };
  failed?: { id: string; attempts: number }[];
}

/** Where the lock and the state of an invocation are: those of its job or of its shard. */
export function placesOf({ settings, invocation }: Pick<Running, 'settings' | 'invocation'>) {
  const { index, of } = (invocation.event.shard ?? { index: 0, of: 1 }) as { index: number; of: number };
  const part = `shards/${index}-of-${of}`;
  return of === 1
    ? { lockKey: settings.lockKey, statePrefix: settings.statePrefix }
    : { lockKey: `${settings.lockKey}.${part}`, statePrefix: `${settings.statePrefix}${part}/` };
}
