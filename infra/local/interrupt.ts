/** npm passes on the signal that the terminal has sent to everybody already: so soon, a second one is the first. */
const ECHO_MS = 500;

/** Calls `stop` at the first SIGINT or SIGTERM, and ends this process at a second one. */
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
