import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Invoke } from './invoke.ts';
import { type BackfillRequest, cut, type Part } from './options.ts';
import type { Counts, Progress } from './progress.ts';
import { Refusal } from './refusal.ts';

/** What the function answers, as far as it is used here. */
export interface Result {
  status: 'completed' | 'partial' | 'skipped';
  reason?: string;
  message?: string;
  backfillId?: string;
  report: Counts;
  /** Of the whole window, over all its invocations. */
  pass?: Counts;
  problems?: { id: string; kind: string; reason: string }[];
  wouldWrite?: string[];
}

/** Once begun, the timer's own runs are waited for: one of them may well come between two windows. */
const WAIT_BETWEEN_SECONDS = 60;

/** A run that was throttled gave up because the target wanted a longer pause than it could wait for. */
const THROTTLED_PAUSE_MS = 30_000;

/** Where a backfill is gone on with. */
export interface Rest {
  part: Part;
  backfillId?: string;
}

/**
 * Copies what was asked for, window by window, each over as many invocations as it takes.
 * @returns where to go on when `stop` aborted before all was done
 * @throws Refusal that ends with `howToResume`
 */
export async function backfill(
  request: BackfillRequest,
  options: { invoke: Invoke; progress: Progress; stop: AbortSignal; howToResume: (rest: Rest) => string },
): Promise<Rest | undefined> {
  const { invoke, progress, stop, howToResume } = options;
  const { dryRun, concurrency } = request;
  const parts = cut(request);
  let begun = false;

  for (const [index, part] of parts.entries()) {
    if (stop.aborted) return { part };
    // Named before it begins, so that a window whose answer never arrives can be gone on with as well. What copies
    // everything gets its name from its first result: the function takes a name without a window as an earlier one.
    const named = dryRun || Object.keys(part).length === 0 ? undefined : randomUUID();
    let backfillId = (index === 0 ? request.resume : undefined) ?? named;
    const rest = (): Rest => ({ part, ...(backfillId !== undefined && { backfillId }) });
    progress.begin(index, part);
    for (let completed = false; !completed; ) {
      const waitSeconds = request.waitSeconds ?? (begun ? WAIT_BETWEEN_SECONDS : 0);
      const event = { ...part, ...(dryRun && { dryRun }), waitSeconds, concurrency, backfillId };
      const result = await runOnce(invoke, event).catch((error) => {
        if (!(error instanceof Refusal)) throw error;
        throw new Refusal(`${error.message}\n${howToResume(rest())}`, { cause: error });
      });
      begun = true;
      progress.told(result);
      completed = result.status === 'completed';
      if (completed) break;
      if (dryRun) {
        throw new Refusal(
          'the rehearsal did not come to its end in the time of one invocation: try a shorter --window',
        );
      }
      backfillId = result.backfillId ?? backfillId;
      if (stop.aborted) return rest();
      if (result.reason === 'throttled') {
        await sleep(THROTTLED_PAUSE_MS, undefined, { signal: stop }).catch(() => undefined);
        if (stop.aborted) return rest();
      }
    }
  }
  return undefined;
}

async function runOnce(invoke: Invoke, event: { waitSeconds: number }): Promise<Result> {
  const result = (await invoke('backfill', event)) as Result;
  if (result.status !== 'skipped') return result;
  const { message, reason } = result;
  const longer = Math.max(60, Math.min(2 * event.waitSeconds, 900));
  throw new Refusal(`skipped: ${message ?? reason}; --wait ${longer} queues for the lock`);
}
