/** The true time of a simulated world, and what will happen in it. Nothing sleeps: the time jumps to the next event. */
export interface Timeline {
  readonly nowMs: number;
  /** Lets `act` happen at `ms`, or now if that has passed; events of the same moment keep their order. */
  at(ms: number, act: () => void): void;
  /**
   * Lets everything happen up to `untilMs`, and sets the time to it. Has to be called outside of promises' callbacks.
   * @throws Error after `maxEvents` events: the world has come into an endless loop
   */
  run(untilMs: number): void;
  /** The number of events so far. */
  readonly events: number;
}

interface Event {
  ms: number;
  order: number;
  act: () => void;
}

/**
 * Runs all promises' callbacks that are due. setImmediate would do the same by the documented way, at five times the cost, and
 * would make everything above asynchronous.
 */
const settlePromises = (process as unknown as { _tickCallback(): void })._tickCallback;

export function createTimeline(maxEvents = 300_000): Timeline {
  const heap: Event[] = [];
  let nowMs = 0;
  let order = 0;
  let events = 0;

  const before = (a: Event, b: Event) => a.ms < b.ms || (a.ms === b.ms && a.order < b.order);

  function push(event: Event) {
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  function pop(): Event {
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }

  return {
    get nowMs() {
      return nowMs;
    },
    get events() {
      return events;
    },
    at: (ms, act) => push({ ms: Math.max(ms, nowMs), order: order++, act }),
    run(untilMs) {
      settlePromises();
      while (heap.length > 0 && heap[0]!.ms <= untilMs) {
        const { ms, act } = pop();
        nowMs = ms;
        if (++events > maxEvents) throw new Error(`no end after ${maxEvents} events, at ${nowMs} ms`);
        act();
        settlePromises();
      }
      nowMs = Math.max(nowMs, untilMs);
    },
  };
}
