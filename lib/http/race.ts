import type { Socket } from 'node:net';

/** RFC 8305 recommends it. */
const NEXT_ADDRESS_MS = 250;
/** The most failures that a message tells. */
const MAX_TOLD = 3;

type Outcome = { socket: Socket; address: string } | { error: Error };

/**
 * Connects to the address that answers first (Happy Eyeballs, RFC 8305): another one joins in when those before have failed
 * or have not connected within 250 ms. Node's own way gives up an address after that time, and so never reaches a server
 * that takes longer.
 * @param connect calls back once the connection can be used, or has failed
 * @returns a function that ends the race without calling `settled`
 */
export function race(
  addresses: readonly string[],
  connect: (address: string, callback: (error: Error | null) => void) => Socket,
  settled: (outcome: Outcome) => void,
): () => void {
  const sockets = new Set<Socket>();
  const errors: Error[] = [];
  let next = 0;
  let timer: NodeJS.Timeout | undefined;
  let over = false;

  function start() {
    clearTimeout(timer);
    const address = addresses[next++];
    if (address === undefined) {
      if (sockets.size === 0) settled({ error: joined(errors) });
      return;
    }
    const socket = connect(address, (error) => {
      if (over) return;
      sockets.delete(socket);
      if (error) {
        errors.push(error);
        return start();
      }
      end();
      settled({ socket, address });
    });
    sockets.add(socket);
    // From here on the handshake may take its time.
    socket.once('connect', () => clearTimeout(timer));
    timer = setTimeout(start, NEXT_ADDRESS_MS);
  }

  function end() {
    over = true;
    clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
  }

  start();
  return end;
}

function joined(errors: (Error & { code?: string })[]): Error {
  const [first] = errors;
  if (errors.length === 1) return first!;
  const told = errors.slice(0, MAX_TOLD).map(({ message }) => message);
  return Object.assign(new AggregateError(errors, told.join('; ')), { code: first?.code });
}
