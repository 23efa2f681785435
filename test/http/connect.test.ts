import assert from 'node:assert/strict';
import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { serve } from '../../infra/local/serve.ts';
import { createAddresses, type Lookup } from '../../lib/http/addresses.ts';
import { createHttp, type Http } from '../../lib/http/client.ts';

const get = (http: Http) => http.send({ method: 'GET', path: '/', headers: {} });

/** A resolver that answers with these addresses after `afterMs`, and counts the look-ups. */
function resolver(addresses: string[], afterMs = 0) {
  const resolving = {
    ...{ lookups: 0, addresses, error: null as NodeJS.ErrnoException | null },
    lookup: ((_hostname, _options, callback) => {
      resolving.lookups++;
      setTimeout(() => {
        const found = resolving.addresses.map(
          (address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 }),
        );
        callback(resolving.error, resolving.error ? [] : found);
      }, afterMs);
    }) as Lookup,
  };
  return resolving;
}

/** A client that reaches `server` under the name `api.example`. */
const open = (server: { url: string }, lookup: Lookup, options: { timeoutMs?: number; signal?: AbortSignal } = {}) =>
  createHttp(server.url.replace('127.0.0.1', 'api.example'), {
    ...{ timeoutMs: 60_000, maxBytes: 1000, signal: new AbortController().signal, lookup },
    ...options,
  });

/**
 * A listener that leaves connections unanswered, because its queue is full, until `accept` is called: then it answers them
 * with `slow`, once the kernel of the client asks again.
 */
async function stall(host: string, port = 0) {
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    const server = require('node:net').createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: 4\\r\\n\\r\\nslow'));
    });
    server.listen({ host: workerData.host, port: workerData.port, backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      setImmediate(() => Atomics.wait(workerData.gate, 0, 0));
    });`;
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(script, { eval: true, workerData: { host, port, gate } });
  const [listening] = await once(worker, 'message');
  const queued = Array.from({ length: 4 }, () => connect(listening, host).on('error', () => undefined));
  const accept = () => {
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
  };
  return {
    ...{ port: listening as number, url: `http://${host}:${listening}`, accept },
    async [Symbol.asyncDispose]() {
      for (const socket of queued) socket.destroy();
      accept();
      await worker.terminate();
    },
  };
}

test('An address that does not answer keeps nobody from the other one, whichever is named first.', async () => {
  let answered = 0;
  await using server = await serve((_, response) => {
    answered++;
    response.setHeader('connection', 'close').end();
  });
  await using _dead = await stall('127.0.0.2', Number(new URL(server.url).port));
  for (const addresses of [
    ['127.0.0.2', '127.0.0.1'],
    ['127.0.0.1', '127.0.0.2'],
    ['100::1', '127.0.0.2', '127.0.0.1'],
  ]) {
    answered = 0;
    await using http = open(server, resolver(addresses).lookup);
    const lane = async () => {
      for (let requests = 0; requests < 10; requests++) assert.equal((await get(http)).status, 200);
    };
    await Promise.all(Array.from({ length: 10 }, lane));
    assert.equal(answered, 100);
  }
});

test('A server that takes longer to connect than Node gives an address is reached, although another address is dead.', async () => {
  for (const order of [
    ['127.0.0.2', '127.0.0.3'],
    ['127.0.0.3', '127.0.0.2'],
  ]) {
    await using slow = await stall('127.0.0.2');
    await using _dead = await stall('127.0.0.3', slow.port);
    await using http = open({ url: `http://127.0.0.1:${slow.port}` }, resolver(order).lookup);
    const answers = Array.from({ length: 5 }, () => get(http));
    await sleep(600);
    slow.accept();
    for (const { body } of await Promise.all(answers)) assert.equal(new TextDecoder().decode(body), 'slow');
  }
});

test('Addresses that do not answer within the time-out are an HttpError that names the host and the addresses.', async () => {
  await using dead = await stall('127.0.0.2');
  await using http = open({ url: `http://127.0.0.1:${dead.port}` }, resolver(['127.0.0.2', '127.0.0.2']).lookup, {
    timeoutMs: 1000,
  });
  await assert.rejects(get(http), {
    ...{ name: 'HttpError', transient: true },
    message: `UND_ERR_CONNECT_TIMEOUT: no connection to api.example:${dead.port} within 1000 ms (tried 127.0.0.2, 127.0.0.2)`,
  });
});

test('Addresses that all refuse are an HttpError with the reasons.', async () => {
  const gone = await serve(() => {});
  await gone[Symbol.asyncDispose]();
  await using http = open(gone, resolver(['127.0.0.2', '127.0.0.3']).lookup);
  const message = /^ECONNREFUSED: connect ECONNREFUSED 127\.0\.0\.2:\d+; connect ECONNREFUSED 127\.0\.0\.3:\d+$/;
  await assert.rejects(get(http), { name: 'HttpError', transient: true, message });
});

test('A resolver that takes three seconds is asked once for fifty connections, and all are served.', async () => {
  await using server = await serve(async (_, response) => {
    await sleep(100);
    response.end();
  });
  const slow = resolver(['127.0.0.1'], 3000);
  await using http = open(server, slow.lookup, { timeoutMs: 10_000 });
  const answers = await Promise.all(Array.from({ length: 50 }, () => get(http)));
  assert.deepEqual([answers.length, slow.lookups], [50, 1]);
});

test('A look-up is kept for less than a minute, and for a second after no connection was possible.', async (t) => {
  const close = (name: string) => serve((_, response) => void response.setHeader('connection', 'close').end(name));
  await using server = await close('here');
  const resolving = resolver(['127.0.0.1']);
  await using http = open(server, resolving.lookup);
  const nowMs = performance.now();
  const clock = t.mock.method(performance, 'now', () => nowMs);
  const at = (ms: number) => clock.mock.mockImplementation(() => nowMs + ms);
  for (let times = 0; times < 5; times++) await get(http);
  assert.equal(resolving.lookups, 1);
  at(60_000);
  await get(http);
  assert.equal(resolving.lookups, 2);

  // A failover: the name has moved to an address that nobody listens at, and then back.
  resolving.addresses = ['127.0.0.2'];
  at(120_000);
  await assert.rejects(get(http), { message: /ECONNREFUSED 127\.0\.0\.2/ });
  resolving.addresses = ['127.0.0.1'];
  await assert.rejects(get(http), { message: /ECONNREFUSED 127\.0\.0\.2/ });
  assert.equal(resolving.lookups, 3);
  at(121_100);
  await get(http);
  assert.equal(resolving.lookups, 4);
});

test('A look-up that fails is told as such, once for all connections, and made again soon.', async (t) => {
  await using server = await serve((_, response) => void response.end());
  const nowMs = performance.now();
  const clock = t.mock.method(performance, 'now', () => nowMs);
  const resolving = resolver(['127.0.0.1'], 20);
  resolving.error = Object.assign(new Error('getaddrinfo EAI_AGAIN api.example'), { code: 'EAI_AGAIN' });
  await using http = open(server, resolving.lookup);
  const expected = {
    ...{ name: 'HttpError', transient: true },
    message: 'EAI_AGAIN: the look-up of api.example failed: getaddrinfo EAI_AGAIN api.example',
  };
  await Promise.all(Array.from({ length: 50 }, () => assert.rejects(get(http), expected)));
  await assert.rejects(get(http), expected);
  assert.equal(resolving.lookups, 1);
  resolving.error = null;
  clock.mock.mockImplementation(() => nowMs + 1100);
  assert.equal((await get(http)).status, 200);
  assert.equal(resolving.lookups, 2);
  await using nowhere = open(server, resolver([]).lookup);
  await assert.rejects(get(nowhere), { message: 'ENODATA: the look-up of api.example failed: it has no address' });
});

test('A look-up without an answer ends with the time-out or the signal, and no second one is made beside it.', async () => {
  await using server = await serve((_, response) => void response.end());
  let lookups = 0;
  const stop = new AbortController();
  const never: Lookup = () => {
    lookups++;
  };
  await using http = open(server, never, { timeoutMs: 500, signal: stop.signal });
  const message = 'ETIMEOUT: the look-up of api.example was not answered within 500 ms';
  for (let times = 0; times < 2; times++)
    await assert.rejects(get(http), { name: 'HttpError', transient: true, message });
  assert.equal(lookups, 1);
  await using patient = open(server, never, { signal: stop.signal });
  const answer = assert.rejects(get(patient), { message: 'enough' });
  stop.abort(new Error('enough'));
  await answer;
});

test('Connections begin with other addresses by turns, with both families, and with those that failed last.', async () => {
  const names = ['::1', '::2', '10.0.0.1', '10.0.0.2', '10.0.0.3'];
  const addresses = createAddresses(resolver(names).lookup);
  assert.deepEqual(await addresses.find('api.example'), ['::1', '10.0.0.1', '::2', '10.0.0.2', '10.0.0.3']);
  assert.deepEqual(await addresses.find('api.example'), ['::2', '10.0.0.2', '::1', '10.0.0.3', '10.0.0.1']);
  addresses.note(['::1', '10.0.0.3'], '10.0.0.3');
  assert.deepEqual(await addresses.find('api.example'), ['10.0.0.3', '::2', '10.0.0.1', '10.0.0.2', '::1']);
  addresses.note(['::1'], '::1');
  assert.equal((await addresses.find('api.example'))[0], '::2');
  assert.deepEqual(await addresses.find('10.0.0.9'), ['10.0.0.9']);
  const many = createAddresses(resolver(Array.from({ length: 500 }, (_, n) => `10.0.1.${n}`)).lookup);
  assert.equal((await many.find('api.example')).length, 8);
});
