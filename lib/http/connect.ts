import type { Socket } from 'node:net';
import { buildConnector } from 'undici';

/** How the connections to one server are opened. */
interface Connecting {
  connect: buildConnector.connector;
  /** Ends what is not connected yet, which undici leaves to itself when its client is closed. */
  giveUp(reason: Error): void;
}

/** @param options.timeoutMs for a connection, its TLS handshake included */
export function createConnecting({ timeoutMs }: { timeoutMs: number }): Connecting {
  // One for all connections, so that they share their TLS sessions.
  const connector = buildConnector({ timeout: timeoutMs, allowH2: false });
  const pending = new Set<Socket>();
  return {
    connect(to, callback) {
      // It returns the socket, whatever its type says.
      const socket = connector(to, (...outcome) => {
        pending.delete(socket);
        callback(...outcome);
      }) as unknown as Socket;
      pending.add(socket);
      // Under this code undici takes a body that tells no length to be complete when its connection is reset.
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNRESET') error.code = 'UND_ERR_SOCKET';
      });
    },
    giveUp(reason) {
      for (const socket of pending) socket.destroy(reason);
    },
  };
}
