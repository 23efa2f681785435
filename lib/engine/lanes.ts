import pLimit from 'p-limit';

/** Takes items one after the other, as many at a time as there are lanes. */
interface Lanes {
  /**
   * Gives the lanes something to do, and resolves when they have taken all of it, or take no more.
   * @returns how many items they did not take: none, unless the signal has fired
   */
  offer<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<number>;
  /** How many may work at a time from now on; those that are too many go on in their place when they are allowed again. */
  allow(concurrency: number): void;
  /** Nothing more is offered. Resolves when all that was taken is done. */
  end(): Promise<void>;
}

/**
 * Opens `concurrency` lanes. A lane lives for the whole list, because a limiter's turn for each record costs more than the
 * record.
 * @param options.signal fires when nothing more may be taken
 * @param options.failed told of what `work` throws
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
  let work: (item: never) => Promise<void>;
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
        // Let go of now: a record that takes long would keep those that were taken beside it in memory.
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

  function stop() {
    wakeLanes();
    allTaken.resolve();
  }

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
