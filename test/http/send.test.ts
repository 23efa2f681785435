import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '../../infra/local/serve.ts';
import { Interrupted, LockLostError, SecretError } from '../../lib/errors.ts';
import { createHttp } from '../../lib/http/client.ts';
import { createPace, type Pace } from '../../lib/http/pace.ts';
import { createSend, retryAfterMs } from '../../lib/http/send.ts';
import { openCredentials } from '../../lib/settings/secrets.ts';
import { secretStoreOf, until } from '../support/pipeline.ts';

type Answer = (response: ServerResponse, attempt: number, authorization: string) => void;

/** A server that answers every request with `answer`, and a client of it. */
async function open(
  answer: Answer,
  options: { store?: ReturnType<typeof secretStoreOf>; check?: () => void; pace?: Pace } = {},
) {
  const { store = secretStoreOf(1), check = () => {}, pace } = options;
  await using stack = new AsyncDisposableStack();
  const state = { attempts: 0, closesInMs: 60_000, closing: new AbortController(), cut: new AbortController(), store };
  const server = stack.use(
    await serve((request, response) => {
      answer(response, ++state.attempts, String(request.headers.authorization));
    }),
  );
  const { signal } = state.cut;
  const http = stack.use(createHttp(server.url, { timeoutMs: 60_000, maxBytes: 1000, signal }));
  const send = createSend({
    ...{ name: 'target', http, credentials: await openCredentials(store, signal) },
    authorization: (secret) => secret.target.token,
    guard: { check, closing: state.closing.signal, closesInMs: () => state.closesInMs, signal },
    ...(pace && { pace }),
  });
  const owned = stack.move();
  return Object.assign(state, {
    send: (path = '/') => send({ method: 'PUT', path, body: '{}' }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  });
}

const status = (response: ServerResponse, code: number, retryAfter?: string) =>
  response.writeHead(code, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end();

test('429 and every 5xx are tried again, with the pause that Retry-After asks for.', async () => {
  const codes = [429, 500, 502, 503, 504].map(async (code) => {
    await using server = await open((response, attempt) => {
      if (attempt < 3) status(response, code, attempt === 1 ? '0' : '1');
      else status(response, 200);
    });
    assert.equal((await server.send()).status, 200);
    assert.equal(server.attempts, 3, `status ${code}`);
  });
  await Promise.all(codes);
});

test('A server that asks for no pause at all is still called with a backoff.', async () => {
  await using server = await open((response) => status(response, 429, '0'));
  assert.equal((await server.send()).status, 429);
  assert.equal(server.attempts, 5);
  await using paced = await open((response) => status(response, 429, '0'), { pace: createPace({ concurrency: 1 }) });
  // Two, because the attempts of a single request would count.
  const sending = Promise.allSettled([paced.send(), paced.send()]);
  // The pauses double up to 3 s, so 30 attempts take far longer than this wait, even on a busy machine.
  await sleep(1000);
  paced.closing.abort(new Error('enough'));
  for (const { status, reason } of (await sending) as PromiseRejectedResult[])
    assert.deepEqual([status, reason?.message], ['rejected', 'enough']);
  assert.ok(paced.attempts < 30, `${paced.attempts} attempts`);
});

test('A reset connection and a body that breaks off in the middle are tried again.', async () => {
  await using server = await open((response, attempt) => {
    if (attempt === 1) response.socket?.resetAndDestroy();
    else if (attempt === 2) response.writeHead(200).write('{"half":', () => response.destroy());
    else response.end('{}');
  });
  assert.equal((await server.send()).status, 200);
  assert.equal(server.attempts, 3);
});

test('After five attempts the last answer, or the lack of one, is final.', async () => {
  await using busy = await open((response) => status(response, 503, '0'));
  assert.equal((await busy.send()).status, 503);
  assert.equal(busy.attempts, 5);
  await using broken = await open((response) => response.destroy());
  await assert.rejects(broken.send(), { name: 'HttpError' });
  assert.equal(broken.attempts, 5);
});

test('Any other status is final at once, redirects included.', async () => {
  for (const code of [204, 301, 302, 307, 400, 403, 404, 408, 409, 412, 422]) {
    await using server = await open((response) => status(response, code, '0'));
    assert.equal((await server.send()).status, code);
    assert.equal(server.attempts, 1, `status ${code}`);
  }
});

test('An answer that is too large is final at once.', async () => {
  await using server = await open((response) => response.end('x'.repeat(2000)));
  await assert.rejects(server.send(), { name: 'HttpError', message: /larger than 1000 bytes/ });
  assert.equal(server.attempts, 1);
});

test('A 401 renews the credentials once for all waiting requests, and none of them fails.', async () => {
  const answer: Answer = (response, _, token) => status(response, token === 'token-2' ? 200 : 401);
  await using server = await open(answer, { store: secretStoreOf(1, 2) });
  const answers = await Promise.all(Array.from({ length: 40 }, () => server.send()));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  assert.equal(server.store.readings, 1);
  assert.ok(server.attempts <= 80);
  await server.send();
  assert.equal(server.store.readings, 1);
});

test('A 401 to a request that was sent before the renewal is no second refusal: it is sent again with what is current.', async () => {
  const late: ServerResponse[] = [];
  const answer: Answer = (response, _, token) => {
    if (token === 'token-1' && late.length === 0) late.push(response);
    else status(response, token === 'token-2' ? 200 : 401);
  };
  await using server = await open(answer, { store: secretStoreOf(1, 2, 3) });
  const first = server.send();
  await until(() => late.length === 1);
  assert.equal((await server.send()).status, 200);
  assert.equal(server.store.readings, 1);
  status(late[0]!, 401);
  assert.equal((await first).status, 200);
  assert.deepEqual([server.store.readings, server.attempts], [1, 4]);
});

test('A 401 does not count as an attempt.', async () => {
  const answer: Answer = (response, attempt, token) => {
    if (token !== 'token-2') status(response, attempt < 3 ? 503 : 401, '0');
    else status(response, 503, '0');
  };
  await using server = await open(answer, { store: secretStoreOf(1, 2) });
  assert.equal((await server.send()).status, 503);
  assert.equal(server.attempts, 6);
});

test('Where the secret has no newer version, a 401 is a CredentialsError for all waiting requests.', async () => {
  await using server = await open((response) => status(response, 401), { store: secretStoreOf(1, 1) });
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => server.send()));
  for (const outcome of outcomes)
    assert.equal(outcome.status === 'rejected' && outcome.reason.name, 'CredentialsError');
  assert.equal(server.store.readings, 1);
  await assert.rejects(server.send(), { name: 'CredentialsError', message: /the target answered 401/ });
  assert.equal(server.store.readings, 1);
});

test('A second 401, with renewed credentials, is a CredentialsError, however many versions there are.', async () => {
  await using server = await open((response) => status(response, 401), { store: secretStoreOf(1, 2, 3) });
  await assert.rejects(server.send(), { name: 'CredentialsError', message: /newest version of the secret as well/ });
  assert.equal(server.attempts, 2);
  assert.equal(server.store.readings, 1);
});

test('A secret that cannot be read again fails the requests that needed it.', async () => {
  const store = secretStoreOf(1);
  store.readAgain = () => Promise.reject(new SecretError('no access'));
  await using server = await open((response) => status(response, 401), { store });
  await assert.rejects(server.send(), { name: 'SecretError', message: 'no access' });
});

test('A server that asks for a pause of more than 30 s interrupts the run instead of keeping it waiting.', async () => {
  const inAnHour = new Date(Date.now() + 3_600_000).toUTCString();
  for (const retryAfter of ['31', '3600', inAnHour]) {
    await using server = await open((response) => status(response, 429, retryAfter));
    const message = /the target asks for a pause of \d+ s/;
    await assert.rejects(server.send(), { name: 'Interrupted', reason: 'throttled', message });
    assert.equal(server.attempts, 1);
  }
});

test('A pause beyond the end of the run interrupts it as well.', async () => {
  await using server = await open((response) => status(response, 503, '20'));
  server.closesInMs = 19_000;
  await assert.rejects(server.send(), { name: 'Interrupted', reason: 'throttled' });
  assert.equal(server.attempts, 1);
});

test('The lock is checked before each attempt, the first one included.', async () => {
  let checks = 0;
  const lostAt = (last: number) => () => {
    if (++checks > last) throw new LockLostError('the lease can have expired');
  };
  for (const attempts of [0, 1, 3]) {
    checks = 0;
    await using server = await open((response) => status(response, 503, '0'), { check: lostAt(attempts) });
    await assert.rejects(server.send(), { name: 'LockLostError' });
    assert.equal(server.attempts, attempts);
  }
});

test('Closing lets requests in flight finish, and ends the ones that wait for their next attempt.', async () => {
  const reason = new Interrupted('deadline', 'closing');
  await using server = await open((response, attempt) => {
    if (attempt === 1) return status(response, 503, '20');
    sleep(100).then(() => status(response, 200));
  });
  const paused = assert.rejects(server.send(), reason);
  await until(() => server.attempts === 1);
  const inFlight = server.send();
  await until(() => server.attempts === 2);
  server.closing.abort(reason);
  await paused;
  assert.equal((await inFlight).status, 200);
  assert.equal(server.attempts, 2);
});

test('Once closing, a refusal is not tried again with renewed credentials either.', async () => {
  const reason = new Interrupted('deadline', 'closing');
  const answer: Answer = (response) => {
    server.closing.abort(reason);
    status(response, 401);
  };
  await using server = await open(answer, { store: secretStoreOf(1, 2) });
  await assert.rejects(server.send(), reason);
  assert.equal(server.attempts, 1);
});

test('The cut ends requests in flight and those waiting for their next attempt, with its own reason.', async () => {
  await using server = await open((response, attempt) => {
    if (attempt === 1) status(response, 503, '20');
  });
  const sent = [server.send(), server.send()];
  const all = Promise.allSettled(sent);
  await until(() => server.attempts === 2);
  const reason = new Interrupted('deadline', 'cut');
  server.cut.abort(reason);
  for (const outcome of await all) assert.deepEqual(outcome, { status: 'rejected', reason });
  assert.equal(server.attempts, 2);
});

test('Retry-After is read as seconds or as a date; anything else is ignored.', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  assert.equal(retryAfterMs('0', now), 0);
  assert.equal(retryAfterMs(' 120 ', now), 120_000);
  assert.equal(retryAfterMs('Thu, 01 Jan 2026 00:00:05 GMT', now), 5000);
  assert.equal(retryAfterMs('Wed, 31 Dec 2025 23:00:00 GMT', now), 0);
  for (const header of [undefined, '', 'soon', '1.5', '-1', 'in 5', ['1', '2']])
    assert.equal(retryAfterMs(header, now), undefined);
});
