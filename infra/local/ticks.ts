import { setTimeout as sleep } from 'node:timers/promises';
import type { Schedule } from '../stage/schedule.ts';
import { say } from '../terminal/print-lines.ts';
import type { LocalFunction } from './lambda/function.ts';

/** Node's timers run for at most 24.8 days. */
const LONGEST_SLEEP_MS = 86_400_000;

interface Ticking {
  schedule: Schedule;
  /** The schedule's start, which is a rate's first tick. */
  start: Date;
  sync: LocalFunction;
  /** What the tick's event says about shards: one event each. */
  parts: object[];
  signal: AbortSignal;
}

/** Sends ticks until the signal aborts, without waiting for earlier ones to end: to exclude overlaps is the lock's task. */
export async function sendTicks({ schedule, start, sync, parts, signal }: Ticking): Promise<void> {
  let due = schedule(new Date(start.getTime() - 1));
  while (due && !signal.aborted) {
    for (let waitMs = due.getTime() - Date.now(); waitMs > 0 && !signal.aborted; waitMs = due.getTime() - Date.now()) {
      await sleep(Math.min(waitMs, LONGEST_SLEEP_MS), undefined, { signal }).catch(() => undefined);
    }
    if (signal.aborted) return;
    const scheduledTime = due.toISOString();
    say(`tick of ${scheduledTime}`);
    for (const part of parts)
      sync.invoke({ kind: 'tick', scheduledTime, ...part }).then(
        ({ payload, error }) => say(`tick of ${scheduledTime}: ${JSON.stringify(payload ?? error)}`),
        () => undefined,
      );
    // Ticks that came due while this machine slept are left out.
    due = schedule(new Date(Math.max(due.getTime(), Date.now() - 1)));
  }
  if (signal.aborted) return;
  say('the schedule has no further tick');
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
}
