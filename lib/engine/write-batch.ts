import { setTimeout as sleep } from 'node:timers/promises';
import { TargetError } from '../errors.ts';

/**
 * Sends one request for these records.
 * @param answered how often the target has answered that it wants to see them again
 * @returns what kept each one from being written, in their order
 */
export type WriteMany<T> = (records: T[], answered: number) => Promise<(TargetError | undefined)[]>;

/** A record that the target wants to see again gets this many attempts, as a request does. */
const MAX_ATTEMPTS = 5;
const FIRST_BACKOFF_MS = 100;

/**
 * Writes a batch, one request at a time. What the target wants to see again goes without the rest. A batch that fails as a whole
 * is cut in half until the record at fault stands alone, so that no other one fails because of it: at most two requests for each
 * halving.
 * @param by.settled receives each record, and why it could not be written
 * @param by.halves whether a failure of all may be the fault of some
 * @param by.signal aborts when no request may start any more
 * @throws what `write` throws that is no TargetError, or the signal's reason; the rest of the records is not settled then
 */
export async function writeBatch<T>(
  batch: T[],
  by: {
    write: WriteMany<T>;
    settled(record: T, error: TargetError | undefined): void;
    halves(error: TargetError): boolean;
    signal: AbortSignal;
  },
): Promise<void> {
  const { write, settled, halves, signal } = by;
  /** What is left, the next part last. */
  const parts = [{ records: batch, attempts: 0 }];
  for (let part = parts.pop(); part; part = parts.pop()) {
    const { records, attempts } = part;
    if (attempts > 0) await backOff(attempts, signal);
    signal.throwIfAborted();
    let isLastAttempt = attempts + 1 === MAX_ATTEMPTS;
    let outcomes: (TargetError | undefined)[];
    try {
      outcomes = await write(records, attempts);
    } catch (error) {
      if (!(error instanceof TargetError)) throw error;
      if (records.length > 1 && halves(error)) {
        const middle = Math.ceil(records.length / 2);
        parts.push({ records: records.slice(middle), attempts }, { records: records.slice(0, middle), attempts });
        continue;
      }
      // A request has all of its attempts before it fails.
      isLastAttempt = true;
      outcomes = records.map(() => error);
    }
    const again: T[] = [];
    for (const [index, record] of records.entries()) {
      const error = outcomes[index];
      if (error && !error.refused && !isLastAttempt) again.push(record);
      else settled(record, error);
    }
    if (again.length > 0) parts.push({ records: again, attempts: attempts + 1 });
  }
}

/** Exponential, with full jitter. */
async function backOff(attempts: number, signal: AbortSignal): Promise<void> {
  const waitMs = Math.random() * FIRST_BACKOFF_MS * 2 ** attempts;
  await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
}
