/** What a batch may hold. */
export interface Bounds {
  /** The most records. */
  max?: number | undefined;
  /** The most bytes, as far as they are known by now. */
  maxBytes?: (() => number) | undefined;
}

interface Batched {
  id: string;
  /** How many bytes it adds to a batch, about. */
  bytes?: number | undefined;
}

/** Puts records together, in the order read. */
export interface Batches<T, B> {
  /** @returns what is ready to go, in order: full batches, and records that go alone */
  put(records: readonly T[]): (T | B[])[];
  isEmpty(): boolean;
  /** Closes the batch that is not full. @returns it, or nothing where it is empty */
  close(): B[][];
}

/**
 * Opens the first batch.
 * @param goesAlone whether a record has a request of its own. It never overtakes an earlier record of the same id, nor are two of
 * the same id in one batch: an API may write the records of a request in any order.
 */
export function openBatches<T extends Batched, B extends T>(
  { max = 1, maxBytes = () => Number.POSITIVE_INFINITY }: Bounds,
  goesAlone: (record: T) => boolean,
): Batches<T, B> {
  let batch: B[] = [];
  let ids = new Set<string>();
  let bytes = 0;

  function close(): B[][] {
    const closed = batch;
    [batch, ids, bytes] = [[], new Set(), 0];
    return closed.length > 0 ? [closed] : [];
  }

  return {
    put(records) {
      const ready: (T | B[])[] = [];
      for (const record of records) {
        const more = record.bytes ?? 0;
        const alone = goesAlone(record);
        if (ids.has(record.id) || (!alone && bytes + more > maxBytes())) ready.push(...close());
        if (alone) {
          ready.push(record);
          continue;
        }
        batch.push(record as B);
        ids.add(record.id);
        bytes += more;
        if (batch.length >= max) ready.push(...close());
      }
      return ready;
    },
    isEmpty: () => batch.length === 0,
    close,
  };
}
