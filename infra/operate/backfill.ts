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
  failedIds?: string[];
}

/** Once begun, the timer's own runs are waited for: one of them may well come between two windows. */
const WAIT_BETWEEN_SECONDS = 60;

/** A run that was throttled gave up because the target wanted a longer pause than it could wait for. */
const THROTTLED_PAUSE_MS = 30_000;

/** Where a backfill is gone on with. */
export interface Rest {
  part: Part;
  backfillId?: string;
  /** Longer than before, because the lock was held. */
  waitSeconds?: number;
}

interface Tools {
  invoke: Invoke;
  progress: Progress;
  /** Aborts when no further run is to be begun. */
  stop: AbortSignal;
  howToResume(rest: Rest): string;
}

/**
 * Copies what was asked for, window by window, each over as many invocations as it takes.
 * @returns where to go on when `stop` aborted before all was done
 * @throws Refusal that ends with `howToResume`
 */
export async function backfill(request: BackfillRequest, tools: Tools): Promise<Rest | undefined> {
  for (const [index, part] of cut(request).entries()) {
    if (tools.stop.aborted) return { part };
    tools.progress.begin(index, part);
    const rest = await copyPart(request, part, index === 0, tools);
    if (rest) return rest;
  }
  return undefined;
}

async function copyPart(request: BackfillRequest, part: Part, first: boolean, tools: Tools): Promise<Rest | undefined> {
  const { invoke, progress, stop, howToResume } = tools;
  const { dryRun, concurrency } = request;
  let waitSeconds = request.waitSeconds ?? (first ? 0 : WAIT_BETWEEN_SECONDS);
  // Named before it begins, so that a window whose answer never arrives can be gone on with as well. What copies
  // everything gets its name from its first result: without a window the function takes a name as that of an earlier one.
  const everything = !(part.since || part.until || part.ids);
  let backfillId = (first && request.resume) || (dryRun || everything ? undefined : randomUUID());
  const rest = (): Rest => ({ part, ...(backfillId !== undefined && { backfillId }) });

  while (true) {
    const event = { ...part, ...(dryRun && { dryRun }), waitSeconds, concurrency, backfillId };
    const result = (await invoke('backfill', event).catch((error) => {
      if (!(error instanceof Refusal)) throw error;
      throw new Refusal(`${error.message}\n${howToResume(rest())}`, { cause: error });
    })) as Result;
    if (result.status === 'skipped') {
      const longer = Math.max(60, Math.min(2 * waitSeconds, 900));
      const how = howToResume({ ...rest(), waitSeconds: longer });
      throw new Refusal(`skipped: ${result.message ?? result.reason}\nwith --wait it queues for the lock; ${how}`);
    }
    progress.told(result);
    if (result.status === 'completed') return;
    if (dryRun) throw new Refusal('the rehearsal did not fit into one invocation: try a shorter --window');

    backfillId = result.backfillId ?? backfillId;
    waitSeconds = request.waitSeconds ?? WAIT_BETWEEN_SECONDS;
    const pauseMs = result.reason === 'throttled' ? THROTTLED_PAUSE_MS : 0;
    await sleep(pauseMs, undefined, { signal: stop }).catch(() => undefined);
    if (stop.aborted) return rest();
  }
}
