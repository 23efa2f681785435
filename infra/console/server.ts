import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Jobs } from '../operate/jobs.ts';
import type { Timer } from '../terminal/announce.ts';
import { readAction } from './action.ts';
import { admit } from './admission.ts';
import type { Answer } from './api.ts';
import { bundlePage, type File } from './bundle.ts';
import { createOperations } from './operations.ts';
import { statusReader } from './statuses.ts';
import { until } from './until.ts';

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

/** As many ids as a backfill takes have room in it. */
const MAX_BODY_BYTES = 1_000_000;

/** The jobs that a console shows. */
export interface ServedJobs {
  stage: string;
  /** Whether the functions are those of `npm run dev`. */
  local: boolean;
  jobs: Jobs;
  /** When their ticks are due, where that is known. */
  timers: readonly { job: string; timer?: Timer }[];
}

interface Options extends ServedJobs {
  /** Who starts what is started from the page. */
  startedBy: string;
}

export interface Console extends AsyncDisposable {
  /** The address with its token: whoever has it can do all that the page can. */
  url: string;
}

/** Serves the page and what it asks for on a free loopback port, below a path that only its reader knows. */
export async function startConsole({ stage, local, timers, startedBy, ...given }: Options): Promise<Console> {
  const files = await bundlePage();
  const closing = new AbortController();
  const jobs = until(closing.signal, given.jobs);
  const token = randomBytes(32).toString('base64url');
  const readStatuses = statusReader({ jobs, timers, local });
  const operations = createOperations({ jobs, local, startedBy });

  async function handle(request: IncomingMessage, response: ServerResponse) {
    const { port } = server.address() as AddressInfo;
    const admitted = admit(request, { port, token });
    if ('status' in admitted) return answer(response, admitted.status, { message: admitted.message });
    const { path } = admitted;
    if (request.method === 'POST') {
      if (path !== '/api/actions') return answer(response, 404, { message: 'there is nothing here' });
      const body = await bodyOf(request);
      if (body === undefined) return answer(response, 413, { message: `at most ${MAX_BODY_BYTES} bytes are taken` });
      const action = readAction(body, jobs.names);
      if ('fault' in action) return answer(response, 400, { message: action.fault });
      return answer(response, 200, await operations.begin(action));
    }
    if (path === '/api/jobs') {
      const at = new Date().toISOString();
      const answered: Answer = { stage, local, at, jobs: await readStatuses(), operations: operations.list() };
      return answer(response, 200, answered);
    }
    // Without the slash at its end, the page would look for its files beside the token, not below it.
    if (path === '') return response.writeHead(308, { ...HEADERS, location: `/${token}/` }).end();
    const file = files.get(path);
    if (!file) return answer(response, 404, { message: 'there is nothing here' });
    send(response, 200, file);
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: Error) => {
      if (response.headersSent) response.destroy();
      else answer(response, 500, { message: error.message });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${token}/`,
    async [Symbol.asyncDispose]() {
      // What was invoked goes on in the cloud, but this process does not stay for its answer.
      closing.abort();
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const send = (response: ServerResponse, status: number, { type, content }: File) =>
  response.writeHead(status, { ...HEADERS, 'content-type': type }).end(content);

const answer = (response: ServerResponse, status: number, body: object) =>
  send(response, status, { type: 'application/json; charset=utf-8', content: JSON.stringify(body) });

/** Undefined for a body that is too long. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return undefined;
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request) {
    bytes += piece.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}
