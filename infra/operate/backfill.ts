import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lines } from '../terminal/print-lines.ts';
import { Refusal } from '../terminal/refusal.ts';
import type { Functions } from './functions.ts';
import type { BackfillRequest } from './options.ts';
import type { Progress } from './progress.ts';
import type { Rest } from './resume-command.ts';
import { cut, type Part } from './windows.ts';

/** After the first invocation, the backfill waits for the lock: a tick may well run between two windows. */
const WAIT_BETWEEN_SECONDS = 60;

/** A throttled run ended because the target demanded a pause that was longer than its remaining time. */
const THROTTLED_PAUSE_MS = 30_000;

interface Tools {
  invoke: Functions['backfill'];
  progress: Progress;
  /** Aborts to end the backfill after the current invocation. */
  stop: AbortSignal;
  howToResume(rest: Rest): Lines;
}

/**
 * Copies the requested range, part by part, each in as many invocations as it needs.
 * @returns the rest, if `stop` aborted before the end
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
  // We choose the id, so that a part can be resumed even if the answer is lost. Without a range or ids, the function would
  // take our id for that of an earlier backfill, so then the first result brings one.
  const everything = !(part.since || part.until || part.ids);
  let backfillId = (first && request.resume) || (dryRun || everything ? undefined : randomUUID());
  const rest = (): Rest => ({ part, ...(backfillId !== undefined && { backfillId }) });

  while (true) {
    const event = { ...part, ...(dryRun && { dryRun }), waitSeconds, concurrency, backfillId };
    const result = await invoke(event).catch((error) => {
      if (!(error instanceof Refusal)) throw error;
      throw new Refusal([...error.lines, ...[howToResume(rest())].flat()], { cause: error });
    });
    if (result.status === 'skipped') {
      const longer = Math.max(60, Math.min(2 * waitSeconds, 900));
      const how = [howToResume({ ...rest(), waitSeconds: longer })].flat();
      how[0] = `--wait queues for the lock; ${how[0]}`;
      throw new Refusal([`skipped: ${result.message ?? result.reason}`, ...how]);
    }
    progress.add(result);
    if (result.status === 'completed') return;
    if (dryRun) throw new Refusal('the dry run did not fit into one invocation: try a shorter --window');

    backfillId = result.backfillId ?? backfillId;
    waitSeconds = request.waitSeconds ?? WAIT_BETWEEN_SECONDS;
    const pauseMs = result.reason === 'throttled' ? THROTTLED_PAUSE_MS : 0;
    await sleep(pauseMs, undefined, { signal: stop }).catch(() => undefined);
    if (stop.aborted) return rest();
  }
}
