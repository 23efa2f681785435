import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '../../infra/local/serve.ts';
import { createHttp, type Http } from '../../lib/http/client.ts';
import { writeEndlessly } from '../support/listed-source.ts';

const never = new AbortController().signal;

const open = (url: string, options: { timeoutMs?: number; signal?: AbortSignal } = {}) =>
  createHttp(url, { timeoutMs: 60_000, maxBytes: 1000, signal: never, ...options });

const get = (http: Http, path = '/') => http.send({ method: 'GET', path, headers: {} });

/** A TCP server: `handle` receives each connection with the first data that arrives on it. */
async function serveRaw(handle: (socket: Socket, request: string) => unknown) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', (data) => handle(socket, String(data)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test('A path goes on the wire as it was written, below the path of the base URL.', async () => {
  const seen: string[] = [];
  await using server = await serve((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.end();
  });
  await using http = open(`${server.url}/base/`);
  const paths = ['/a%2Fb', '/..', '/%2E%2E/x', '/a//b?c=%20&d', '/%25'];
  for (const path of paths) await get(http, path);
  assert.deepEqual(
    seen,
    paths.map((path) => `GET /base${path}`),
  );
});

test('An answer comes with status, headers and the whole body, however many pieces it arrives in.', async () => {
  await using server = await serve(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    response.writeHead(207, { 'x-method': request.method });
    for (const byte of Buffer.from(body)) response.write(Buffer.of(byte));
    response.end();
  });
  await using http = createHttp(server.url, { timeoutMs: 60_000, maxBytes: 10_000, signal: never });
  for (const body of ['', 'g', 'grüße', 'größe'.repeat(500)]) {
    const answer = await http.send({ method: 'PUT', path: '/', headers: { 'x-a': 'b' }, body });
    assert.equal(answer.status, 207);
    assert.equal(answer.headers['x-method'], 'PUT');
    assert.equal(new TextDecoder().decode(answer.body), body);
  }
});

test('A redirect is an answer like any other: it is not followed.', async () => {
  const seen: (string | undefined)[] = [];
  await using server = await serve((request, response) => {
    seen.push(request.url);
    response.writeHead(302, { location: '/elsewhere' }).end();
  });
  await using http = open(server.url);
  assert.equal((await get(http, '/here')).status, 302);
  assert.deepEqual(seen, ['/here']);
});

test('Connections are kept alive, and there are no more than requests at a time.', async () => {
  const sockets = new Set<unknown>();
  await using server = await serve(async (request, response) => {
    sockets.add(request.socket);
    await sleep(5);
    response.end();
  });
  await using http = open(server.url);
  const lane = async () => {
    for (let requests = 0; requests < 10; requests++) await get(http);
  };
  await Promise.all([lane(), lane(), lane()]);
  assert.equal(sockets.size, 3);
});

test('A client that was closed sends nothing more.', async () => {
  let requests = 0;
  await using server = await serve((_, response) => {
    requests++;
    response.end();
  });
  const http = open(server.url);
  await get(http);
  await http[Symbol.asyncDispose]();
  const closed = { name: 'HttpError', transient: false, message: 'the client is closed' };
  await assert.rejects(get(http), closed);
  await assert.rejects(http.stream({ method: 'GET', path: '/', headers: {} }), closed);
  assert.equal(requests, 1);
});

const brokenOff: Record<string, (response: ServerResponse) => void> = {
  'before its headers': (response) => response.destroy(),
  'within the length it announced': (response) => {
    response.writeHead(200, { 'content-length': 100 }).write('half of', () => response.destroy());
  },
  'between two chunks': (response) => {
    response.writeHead(200).write('half of', () => response.destroy());
  },
};
for (const [where, breakOff] of Object.entries(brokenOff)) {
  test(`An answer that breaks off ${where} is a transient HttpError, and the client goes on.`, async () => {
    await using server = await serve((request, response) => {
      if (request.url === '/broken') breakOff(response);
      else response.end('whole');
    });
    await using http = open(server.url);
    await assert.rejects(get(http, '/broken'), { name: 'HttpError', transient: true });
    assert.equal(new TextDecoder().decode((await get(http)).body), 'whole');
  });
}

test('A body of any length can be read slowly, although the server closes the connection before its end is read.', async () => {
  await using server = await serveRaw(async (socket, request) => {
    const [, size] = /^GET \/(\d+) /.exec(request) as unknown as [string, string];
    const close = /^connection: close\r$/im.test(request) ? 'connection: close\r\n' : '';
    socket.write(`HTTP/1.1 200 OK\r\n${close}content-length: ${size}\r\n\r\n`);
    socket.write('x'.repeat(Number(size)));
    // A server closes an idle connection like this.
    await sleep(50);
    socket.end();
  });
  await using http = open(server.url);
  const read = async (size: number) => {
    using answer = await http.stream({ method: 'GET', path: `/${size}`, headers: {} });
    let bytes = 0;
    for await (const piece of answer.body) {
      bytes += piece.length;
      await sleep(150);
    }
    assert.equal(bytes, size);
  };
  await Promise.all(Array.from({ length: 30 }, (_, n) => read(20_000 + n * 10_000)));
});

test('A reset connection breaks a body off, also one without an announced length.', async () => {
  await using server = await serveRaw(async (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\nhalf of');
    await sleep(50);
    socket.resetAndDestroy();
  });
  await using http = open(server.url);
  await assert.rejects(get(http), { name: 'HttpError', transient: true, message: /ECONNRESET/ });
  using answer = await http.stream({ method: 'GET', path: '/', headers: {} });
  await assert.rejects(Array.fromAsync(answer.body), { name: 'HttpError', transient: true, message: /ECONNRESET/ });
});

test('A client that is closed while it connects leaves no connection behind.', async () => {
  const connected = Promise.withResolvers<Socket>();
  // It reads the beginning of a TLS handshake and never answers.
  await using server = await serveRaw((socket) => connected.resolve(socket));
  const http = open(server.url.replace('http:', 'https:'));
  const answer = assert.rejects(get(http), { name: 'HttpError', message: 'the client is closed' });
  const socket = await connected.promise;
  await http[Symbol.asyncDispose]();
  await answer;
  if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(60_000) });
});

test('A stream whose answer is not 2xx resolves at once, without waiting for the body.', async () => {
  await using server = await serve((_, response) => void response.writeHead(503, { 'retry-after': '7' }).write('a'));
  await using http = open(server.url);
  using answer = await http.stream({ method: 'GET', path: '/', headers: {} });
  assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '7']);
});

test('Whatever a server does to its connections, nothing is sent twice, and no request waits for the connection of another.', async () => {
  const lanes = 20;
  const seen: string[] = [];
  const together: ServerResponse[] = [];
  await using server = await serve(({ url, socket }, response) => {
    if (url === '/together') {
      // Answered once all have arrived, which never happens when two share a connection.
      together.push(response);
      if (together.length === lanes) for (const each of together) each.end();
      return;
    }
    seen.push(url!);
    const turn = Number(url!.slice(1)) % 7;
    if (turn === 0) return void socket.destroy();
    if (turn === 1) return void response.writeHead(200).write('half', () => socket.destroy());
    if (turn === 2) return void response.end('x'.repeat(2000));
    if (turn === 3) response.setHeader('connection', 'close');
    if (turn === 4) response.writeProcessing();
    // The server closes a connection that it had announced to keep.
    response.end('whole', () => turn === 5 && setTimeout(() => socket.destroy(), 1));
  });
  await using http = open(server.url);
  let next = 0;
  const lane = async () => {
    while (next < 700) {
      const request = { method: 'GET', path: `/${next++}`, headers: {} };
      if (next % 5 > 0) await http.send(request).catch(() => undefined);
      // This answer is disposed of unread.
      else
        await http.stream(request).then(
          (answer) => answer[Symbol.dispose](),
          () => undefined,
        );
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  assert.equal(new Set(seen).size, seen.length);
  // By then the server has closed every connection that it had still to close.
  await sleep(500);
  await Promise.all(Array.from({ length: lanes }, () => get(http, '/together')));
});

test('A port without a listener, and an answer that is not HTTP, are transient HttpErrors with the cause.', async () => {
  const gone = await serve(() => {});
  await gone[Symbol.asyncDispose]();
  await using closed = open(gone.url);
  await assert.rejects(get(closed), { name: 'HttpError', transient: true, message: /ECONNREFUSED/ });

  await using babble = await serveRaw((socket) => socket.end('hello there, stranger\r\n\r\n'));
  await using http = open(babble.url);
  await assert.rejects(get(http), { name: 'HttpError', transient: true });
});

test('A server that does not answer, or stops in the middle, is given up after the time-out.', async () => {
  await using server = await serve((request, response) => {
    if (request.url === '/body') response.writeHead(200).write('a beginning');
  });
  await using http = open(server.url, { timeoutMs: 1000 });
  await assert.rejects(get(http, '/headers'), { transient: true, message: /^UND_ERR_HEADERS_TIMEOUT/ });
  await assert.rejects(get(http, '/body'), { transient: true, message: /^UND_ERR_BODY_TIMEOUT/ });
});

test('A server that keeps sending 102 Processing is given up after the time-out too.', async () => {
  await using server = await serve(async (_, response) => {
    for (let times = 0; times < 500 && !response.destroyed; times++) {
      response.writeProcessing();
      await sleep(20);
    }
    response.end();
  });
  await using http = open(server.url, { timeoutMs: 1000 });
  const expected = { name: 'HttpError', transient: true, message: /^UND_ERR_HEADERS_TIMEOUT/ };
  await assert.rejects(get(http), expected);
  await assert.rejects(http.stream({ method: 'GET', path: '/', headers: {} }), expected);
});

test('A body that trickles is given up after the time-out too.', async () => {
  await using server = await serve(async (_, response) => {
    for (let pieces = 0; pieces < 500 && !response.destroyed; pieces++) {
      response.write('.');
      await sleep(20);
    }
    response.end();
  });
  await using http = open(server.url, { timeoutMs: 1000 });
  await assert.rejects(get(http), { transient: true, message: /^UND_ERR_BODY_TIMEOUT/ });
});

test('An answer larger than allowed is given up at the bound, with or without an announced size.', async () => {
  let sent = 0;
  await using server = await serve((request, response) => {
    if (request.url === '/announced') response.setHeader('content-length', 5000);
    if (request.url === '/small') return void response.end('x'.repeat(1000));
    if (request.url === '/announced') return void response.end('x'.repeat(5000));
    // Endless, unless the client closes.
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(1000))) sent += 1000;
    };
    response.on('drain', more);
    more();
  });
  await using http = open(server.url);
  for (const path of ['/announced', '/endless']) {
    const expected = { name: 'HttpError', transient: false, message: 'the answer is larger than 1000 bytes' };
    await assert.rejects(get(http, path), expected);
  }
  assert.ok(sent < 100_000_000);
  assert.equal((await get(http, '/small')).body.length, 1000);
});

test('With a bound on what is kept, an answer 2xx of any length is read to its end, and a larger refusal is still a refusal.', async () => {
  await using server = await serve((request, response) => {
    const [, status, bytes] = request.url!.split('/');
    response.writeHead(Number(status)).end(Buffer.alloc(Number(bytes), 'x'));
  });
  const limits = { timeoutMs: 60_000, maxBytes: 1000, signal: never };
  await using http = createHttp(server.url, { ...limits, keepBytes: 10 });
  const outcome = async (path: string) => {
    const { status, body, dropped } = await get(http, path);
    return [status, body.length, dropped ?? false];
  };
  assert.deepEqual(await outcome('/200/10'), [200, 10, false]);
  assert.deepEqual(await outcome('/201/11'), [201, 0, true]);
  assert.deepEqual(await outcome('/200/5000000'), [200, 0, true]);
  // What it says of the reason is kept.
  assert.deepEqual(await outcome('/404/1000'), [404, 1000, false]);
  assert.deepEqual(await outcome('/404/5000000'), [404, 0, false]);
});

test('A body that is dropped is bound by the time-out all the same, and by the signal.', async () => {
  const stop = new AbortController();
  await using server = await serve(async (request, response) => {
    if (request.url === '/silent') return void response.write('a beginning');
    while (!response.destroyed && request.url === '/trickling') {
      response.write('.');
      await sleep(20);
    }
    writeEndlessly(response, () => 'x'.repeat(10_000));
  });
  const limits = { timeoutMs: 1000, maxBytes: 1000, keepBytes: 0 };
  await using http = createHttp(server.url, { ...limits, signal: stop.signal });
  for (const path of ['/silent', '/trickling', '/endless'])
    await assert.rejects(get(http, path), { name: 'HttpError', transient: true, message: /^UND_ERR_BODY_TIMEOUT/ });
  await using long = createHttp(server.url, { ...limits, timeoutMs: 60_000, signal: stop.signal });
  const reason = new Error('enough');
  const endless = assert.rejects(get(long, '/endless'), reason);
  await sleep(200);
  stop.abort(reason);
  await endless;
});

test('A request that cannot be made is an HttpError that is not transient, and nothing is sent.', async () => {
  let requests = 0;
  await using server = await serve((_, response) => {
    requests++;
    response.end();
  });
  await using http = open(server.url);
  await assert.rejects(get(http, '/a b'), { name: 'HttpError', transient: false });
  const headers = { 'x-name': 'line\r\nbreak' };
  await assert.rejects(http.send({ method: 'GET', path: '/', headers }), { name: 'HttpError', transient: false });
  assert.equal(requests, 0);
});

test('When the signal fires, every request that waits for headers or a body fails with its reason.', async () => {
  const stop = new AbortController();
  await using server = await serve((request, response) => {
    if (request.url === '/body') response.writeHead(200).write('a beginning');
  });
  await using http = open(server.url, { signal: stop.signal });
  const pending = ['/body', '/headers', '/headers'].map((path) => get(http, path));
  const all = Promise.allSettled(pending);
  await sleep(100);
  const reason = new Error('enough');
  stop.abort(reason);
  for (const outcome of await all) assert.deepEqual(outcome, { status: 'rejected', reason });
  await assert.rejects(get(http), reason);
});

test('A client whose signal has fired before it was opened sends nothing.', async () => {
  let requests = 0;
  await using server = await serve((_, response) => {
    requests++;
    response.end();
  });
  const reason = new Error('too late');
  await using http = open(server.url, { signal: AbortSignal.abort(reason) });
  await assert.rejects(get(http), reason);
  assert.equal(requests, 0);
});
