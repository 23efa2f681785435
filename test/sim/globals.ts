import { current } from './process.ts';

/**
 * Gives simulated processes their own clocks, timers and chance, by replacing what everybody takes from the global object.
 * Whoever is in no simulated process, such as the test runner, still gets the real ones.
 */
export function replaceGlobals(): void {
  const real = {
    ...{ setTimeout, setInterval, clearTimeout, clearInterval, Date },
    now: performance.now.bind(performance),
    random: Math.random,
    timeout: AbortSignal.timeout.bind(AbortSignal),
  };

  class SimulatedDate extends real.Date {
    constructor(...given: []) {
      if (given.length === 0) super(SimulatedDate.now());
      else super(...given);
    }
    static override now = () => Math.floor(current()?.wallMs() ?? real.Date.now());
  }

  const timer =
    (repeats: boolean, instead: (...given: never[]) => unknown) =>
    (act: (...given: unknown[]) => void, delayMs = 1, ...given: unknown[]) =>
      current()?.setTimer(() => act(...given), delayMs, repeats) ??
      (instead as (...all: unknown[]) => unknown)(act, delayMs, ...given);
  const clear = (instead: (timer: never) => void) => (timer?: { clear?(): void }) =>
    timer?.clear ? timer.clear() : instead(timer as never);

  Object.assign(globalThis, {
    Date: SimulatedDate,
    setTimeout: timer(false, real.setTimeout),
    setInterval: timer(true, real.setInterval),
    clearTimeout: clear(real.clearTimeout),
    clearInterval: clear(real.clearInterval),
  });
  performance.now = () => current()?.monotonicMs() ?? real.now();
  Math.random = () => current()?.random() ?? real.random();
  AbortSignal.timeout = (ms) => {
    const process = current();
    if (!process) return real.timeout(ms);
    const controller = new AbortController();
    process.setTimer(() => controller.abort(new DOMException('timed out', 'TimeoutError')), ms, false);
    return controller.signal;
  };
}
