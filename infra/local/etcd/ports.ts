import { createServer } from 'node:net';

/**
 * Finds loopback ports on which nobody listens. They lie below the range from which systems take ports for outgoing
 * connections, so a port stays free while its node is down.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count && tries < 1000; tries++) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (free) {
      ports.add(port);
      await server[Symbol.asyncDispose]();
    }
  }
  if (ports.size < count) throw new Error('no free loopback ports');
  return [...ports];
}
