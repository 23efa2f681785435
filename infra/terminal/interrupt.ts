/** The terminal signals every process of its group, and npm repeats the signal to its script: that echo is no second Ctrl-C. */
const ECHO_MS = 500;

/** Calls `stop` at the first SIGINT or SIGTERM, and exits with 130 at the second one. */
export function onInterrupt(stop: (signal: NodeJS.Signals) => void): void {
  let firstMs: number | undefined;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (firstMs === undefined) {
        firstMs = performance.now();
        stop(signal);
      } else if (performance.now() - firstMs > ECHO_MS) process.exit(130);
    });
  }
}
