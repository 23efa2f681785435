import type { Socket } from 'node:net';
import { buildConnector } from 'undici';

/** Opens the connections to one server. */
interface Connecting {
  connect: buildConnector.connector;
  /** Ends the connections that are not established yet; undici leaves them open when their client is closed. */
  giveUp(reason: Error): void;
}

/** @param options.timeoutMs bounds the opening of a connection, its TLS handshake included */
export function createConnecting({ timeoutMs }: { timeoutMs: number }): Connecting {
  // One connector for all connections, so that they share their TLS sessions.
  const connector = buildConnector({ timeout: timeoutMs, allowH2: false });
  const pending = new Set<Socket>();
  return {
    connect(to, callback) {
      // The connector returns the socket, although its type does not say so.
      const socket = connector(to, (...outcome) => {
        pending.delete(socket);
        callback(...outcome);
      }) as unknown as Socket;
      pending.add(socket);
      // With the code ECONNRESET undici takes a body of unknown length for complete when its connection is reset.
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNRESET') error.code = 'UND_ERR_SOCKET';
      });
    },
    giveUp(reason) {
      for (const socket of pending) socket.destroy(reason);
    },
  };
}
