import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** Serves HTTPS on a free loopback port. `clients` has the name in the client's certificate for each request. */
export async function serveTls(
  options: ServerOptions,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const clients: string[] = [];
  const server = createServer(options, (request, response) => {
    clients.push(String((request.socket as TLSSocket).getPeerCertificate().subject?.CN));
    request.resume();
    handle(request, response);
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    ...{ clients, url: `https://127.0.0.1:${port}`, named: `https://localhost:${port}` },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
