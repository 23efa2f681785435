import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export interface Served extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  url: string;
}

/** Serves HTTP on a free loopback port. An error of `handle` is answered with 500. */
export async function serve(
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void> | void,
): Promise<Served> {
  const server = createServer(async (request, response) => {
    try {
      await handle(request, response);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else answer(response, 500, { message: String(error) });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

export const bodyOf = (request: IncomingMessage): Promise<string> => text(request);

export function answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}
