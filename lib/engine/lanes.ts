import pLimit from 'p-limit';

/**
 * Lanes take items one after the other, each lane one item at a time. A lane is a loop that lives for the whole list,
 * because a limiter's turn for each record costs more than the record.
 *
 *   taking ── no items left ──▶ idle ── offer ──▶ taking
 *     └── the limit has fallen ──▶ parked in p-limit's queue ── the limit rises ──▶ taking
 *   a lane ends when it is done and the signal has aborted, or after `end` when no item is left
 *
 *   const lanes = openLanes({ concurrency: 50, signal, failed: (error) => log(error) });
 *   for await (const page of pages) await lanes.offer(page, write);
 *   await lanes.end();
 */
interface Lanes {
  /**
   * Gives the lanes items to work on. Resolves when they have taken all items, or take no more.
   * @returns how many items they did not take: none, unless the signal has aborted
   */
  offer<T>(items: readonly T[], work: (item: T) => Promise<void> | void): Promise<number>;
  /** Changes the limit; lanes above it park until it rises. */
  allow(concurrency: number): void;
  /** Nothing more is offered. Resolves when all taken items are done. */
  end(): Promise<void>;
}

/**
 * Opens `concurrency` lanes.
 * @param options.signal aborts when nothing more may be taken
 * @param options.failed receives what `work` throws
 */
export function openLanes(options: {
  concurrency: number;
  signal: AbortSignal;
  failed: (error: unknown) => void;
}): Lanes {
  const { signal, failed } = options;
  const limit = pLimit(options.concurrency);
  const allEnded = Promise.withResolvers<void>();
  let open = 0;
  let items: readonly unknown[] = [];
  let taken = 0;
  let work: (item: never) => Promise<void> | void;
  let allTaken = Promise.withResolvers<void>();
  let more = Promise.withResolvers<void>();
  let ending = false;

  function openLane() {
    open++;
    limit(lane).then(() => {
      if (--open === 0) allEnded.resolve();
    });
  }

  async function lane() {
    while (!signal.aborted) {
      if (limit.activeCount > limit.concurrency) return openLane();
      if (taken === items.length) {
        if (ending) return;
        await more.promise;
        continue;
      }
      const item = items[taken++];
      if (taken === items.length) {
        // Dropped now: a record that takes long would keep the others of its batch in memory.
        [items, taken] = [[], 0];
        allTaken.resolve();
      }
      try {
        await work(item as never);
      } catch (error) {
        failed(error);
      }
    }
  }

  function wakeLanes() {
    const { resolve } = more;
    more = Promise.withResolvers();
    resolve();
  }

  const stop = () => allTaken.resolve();

  signal.addEventListener('abort', stop);
  for (let opened = 0; opened < options.concurrency; opened++) openLane();
  return {
    async offer(offered, workOnOne) {
      if (signal.aborted || offered.length === 0) return offered.length;
      [items, taken, work] = [offered, 0, workOnOne];
      allTaken = Promise.withResolvers();
      wakeLanes();
      await allTaken.promise;
      return items.length - taken;
    },
    allow(concurrency) {
      limit.concurrency = concurrency;
    },
    async end() {
      ending = true;
      wakeLanes();
      await allEnded.promise;
      signal.removeEventListener('abort', stop);
    },
  };
}
