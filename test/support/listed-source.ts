import type { IncomingMessage, ServerResponse } from 'node:http';
import { serve } from '../../infra/local/serve.ts';
import { basic } from '../../lib/http/auth.ts';
import type { Page, SourceJob, Window } from '../../lib/job-types.ts';
import { openSource } from '../../lib/read/source.ts';
import { openCredentials } from '../../lib/settings/secrets.ts';
import { type OwnSecret, secretStoreOf } from './pipeline.ts';

/** A source listed by `list`, assembled as a run does it. */
export async function listSource(
  list: SourceJob['list'],
  baseUrl: string,
  {
    timeoutMs = 60_000,
    job = {},
    settings = {},
  }: { timeoutMs?: number; job?: Partial<SourceJob>; settings?: unknown } = {},
) {
  await using stack = new AsyncDisposableStack();
  const closing = new AbortController();
  const cut = new AbortController();
  const { signal } = cut;
  const auth: SourceJob['auth'] = ({ secret }) => {
    const { username, password } = (secret as OwnSecret).source;
    return basic(username, password);
  };
  const credentials = await openCredentials(secretStoreOf(1, 2), signal);
  const guard = { check() {}, closing: closing.signal, closesInMs: () => 60_000, signal };
  const source = stack.use(
    openSource({ auth, list, ...job }, { url: baseUrl, timeoutMs, credentials, settings, guard }),
  );
  const owned = stack.move();
  return {
    ...{ source, cut },
    /** Reads the list to its end, at most a thousand pages; `seen` receives the pages before an error as well. */
    async readAll(cursor: string | null = null, window: Window = {}, seen: Page[] = []) {
      for await (const page of source.pages(window, cursor)) {
        seen.push(page);
        if (seen.length > 1000) throw new Error('the list does not end');
      }
      return seen;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The same, with a server of its own that answers with `handle`. The source's URL ends with the path `below`. */
export async function openListed(
  list: SourceJob['list'],
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void> | void,
  options: { below?: string; timeoutMs?: number; job?: Partial<SourceJob>; settings?: unknown } = {},
) {
  await using stack = new AsyncDisposableStack();
  const requests: IncomingMessage[] = [];
  const server = stack.use(
    await serve((request, response) => {
      requests.push(request);
      return handle(request, response);
    }),
  );
  const listed = stack.use(await listSource(list, server.url + (options.below ?? ''), options));
  const owned = stack.move();
  return { ...listed, url: server.url, requests, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Writes `next()` for as long as the client reads, and counts the bytes. */
export function writeEndlessly(response: ServerResponse, next: () => string) {
  const written = { bytes: 0 };
  const more = () => {
    for (let room = true; room && !response.destroyed; ) {
      const piece = next();
      written.bytes += Buffer.byteLength(piece);
      room = response.write(piece);
    }
  };
  response.on('drain', more);
  more();
  return written;
}
