import { isIP, type Socket } from 'node:net';
import { buildConnector, errors } from 'undici';
import { createAddresses, type Lookup } from './addresses.ts';
import { race } from './race.ts';
import { type Identity, secureContextOf } from './tls.ts';

/** Opens the connections to one server. */
interface Connecting {
  connect: buildConnector.connector;
  /** Ends the connections that are not established yet; undici leaves them open when their client is closed. */
  giveUp(reason: Error): void;
}

/**
 * @param options.timeoutMs bounds the opening of a connection, from the look-up of the host to the end of the TLS handshake
 * @param options.identity what TLS needs beside Node's own authorities
 * @param options.lookup replaces `dns.lookup`
 */
export function createConnecting(options: {
  timeoutMs: number;
  identity?: Identity | undefined;
  lookup?: Lookup | undefined;
}): Connecting {
  const { timeoutMs, identity, lookup } = options;
  // One connector for all connections, so that they share their TLS sessions. Without its time-out, which is for one address.
  const connector = buildConnector({
    ...(identity && { secureContext: secureContextOf(identity) }),
    timeout: 0,
    allowH2: false,
  });
  const addresses = createAddresses(lookup);
  const pending = new Set<(reason: Error) => void>();

  function open(to: buildConnector.Options, address: string, done: (error: Error | null) => void): Socket {
    // The server's name goes along, for its certificate.
    const server = isIP(to.hostname) ? to : { ...to, hostname: address, servername: to.hostname };
    // The connector returns the socket, although its type does not say so.
    const socket = connector(server, (...[error]) => done(error)) as unknown as Socket;
    // With the code ECONNRESET undici takes a body of unknown length for complete when its connection is reset.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET') error.code = 'UND_ERR_SOCKET';
    });
    return socket;
  }

  return {
    connect(to, callback) {
      const tried: string[] = [];
      let endRace = () => {};
      const timer = setTimeout(() => fail(lateness(to, tried, timeoutMs)), timeoutMs);
      const over = (connected?: string) => {
        clearTimeout(timer);
        pending.delete(fail);
        if (tried.length > 0) addresses.note(tried, connected);
      };
      const fail = (error: Error) => {
        if (!pending.has(fail)) return;
        endRace();
        over();
        callback(error, null);
      };
      const opening = (address: string, done: (error: Error | null) => void) => {
        tried.push(address);
        return open(to, address, done);
      };
      pending.add(fail);
      addresses
        .find(to.hostname)
        .then((found) => {
          if (!pending.has(fail)) return;
          endRace = race(found, opening, (outcome) => {
            if ('error' in outcome) return fail(outcome.error);
            over(outcome.address);
            callback(null, outcome.socket);
          });
        })
        .catch(fail);
    },
    giveUp(reason) {
      for (const fail of pending) fail(reason);
    },
  };
}

function lateness({ hostname, port }: buildConnector.Options, tried: string[], timeoutMs: number): Error {
  if (tried.length > 0)
    return new errors.ConnectTimeoutError(
      `no connection to ${hostname}${port && `:${port}`} within ${timeoutMs} ms (tried ${tried.join(', ')})`,
    );
  const error = new Error(`the look-up of ${hostname} was not answered within ${timeoutMs} ms`);
  return Object.assign(error, { code: 'ETIMEOUT' });
}
