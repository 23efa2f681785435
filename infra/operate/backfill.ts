import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import type { Lines } from '../terminal/print-lines.ts';
import { Refusal } from '../terminal/refusal.ts';
import { backfillCommand, type Where } from './backfill-command.ts';
import { FunctionFailure, type Functions } from './functions.ts';
import type { BackfillRequest } from './options.ts';

/** Nothing was begun, or the error names what was. */
const TELLING: ReadonlySet<string> = new Set(['EventError', 'InvokeError']);

/**
 * Starts a backfill, or goes on with one; it runs in the cloud by itself.
 * @param stop aborts where nobody waits for the answer any more
 * @returns its id
 * @throws Refusal
 */
export async function startBackfill(
  request: Pick<BackfillRequest, 'whole' | 'window' | 'concurrency' | 'resume'>,
  invoke: Functions['backfill'],
  where: Where,
  stop: AbortSignal,
): Promise<string> {
  const { whole, window, concurrency, resume } = request;
  const { since, until, ids } = whole;
  // We choose the id, so that it is known even if the answer is lost. Without a range or ids, the function would take our id
  // for that of an earlier backfill.
  const ownId = resume ?? (since || until || ids ? randomUUID() : undefined);
  const event = {
    ...(resume === undefined && { ...whole, ...(window && { windowSeconds: window.ms / 1000 }) }),
    ...(ownId !== undefined && { backfillId: ownId }),
    ...{ detach: true as const, startedBy: operator(), concurrency },
  };
  const { backfillId } = await invoke(event, stop).catch((error: Refusal) => {
    // These say all of it. After any other, such as a lost answer of etcd, the function may have begun it.
    if (error instanceof FunctionFailure && TELLING.has(error.errorType)) throw error;
    const says =
      ownId === undefined
        ? ['whether it has started, "serverless status --job …" says']
        : ['whether it has started, this says:', `  ${backfillCommand(where, { watch: ownId })}`];
    throw new Refusal([...(stop.aborted ? [] : error.lines), ...says], { cause: error });
  });
  return backfillId ?? ownId!;
}

/** How to come back to a backfill that goes on. */
export const comeBack = (id: string, where: Where): Lines => [
  `to watch it:  ${backfillCommand(where, { watch: id })}`,
  `to cancel it: ${backfillCommand(where, { cancel: id })}`,
];

/** Who starts a backfill; at most as long as an event may say. */
export const operator = () => `${username()}@${hostname()}`.slice(0, 200);

function username(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container, the user may have a number only.
    return `${process.getuid?.() ?? 'somebody'}`;
  }
}
