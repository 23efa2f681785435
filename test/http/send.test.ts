import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '../../infra/local/serve.ts';
import { Interrupted, LockLostError, SecretError } from '../../lib/errors.ts';
import { createHttp } from '../../lib/http/client.ts';
import { createPace, type Pace } from '../../lib/http/pace.ts';
import { createSend } from '../../lib/http/send.ts';
import { openCredentials, type Secret } from '../../lib/settings/secrets.ts';
import { secretStoreOf, tokenOf, until } from '../support/pipeline.ts';

type Answer = (response: ServerResponse, attempt: number, authorization: string) => void;

/** A server that answers every request with `answer`, and a client of it. */
async function open(
  answer: Answer,
  options: {
    store?: ReturnType<typeof secretStoreOf>;
    check?: () => void;
    pace?: Pace;
    patient?: boolean;
    throttled?: () => void;
  } = {},
) {
  const { store = secretStoreOf(1), check = () => {}, ...rest } = options;
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
    signer: (secret: Secret) => ({ sign: () => ({ headers: { authorization: tokenOf(secret) } }) }),
    guard: { check, closing: state.closing.signal, closesInMs: () => state.closesInMs, signal },
    ...rest,
  });
  const owned = stack.move();
  return Object.assign(state, {
    send: (path = '/') => send({ method: 'PUT', path, body: '{}' }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  });
}

const status = (response: ServerResponse, code: number, retryAfter?: string) =>
  response.writeHead(code, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end();

/** A pace, and the pauses that it was asked for. */
function watchedPace() {
  const pauses: number[] = [];
  const pace = createPace({ concurrency: 10 });
  const { throttled } = pace;
  pace.throttled = (startedMs, pauseMs) => {
    pauses.push(pauseMs);
    return throttled(startedMs, pauseMs);
  };
  return { pace, pauses };
}

const TRANSIENT = [
  408, 421, 423, 425, 429, 500, 502, 503, 504, 506, 507, 508, 509, 520, 521, 522, 523, 524, 525, 530, 599,
];

test('429 and other transient statuses are tried again, with the pause that Retry-After asks for.', async () => {
  const codes = TRANSIENT.map(async (code) => {
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
  for (const code of [204, 301, 302, 307, 400, 403, 404, 405, 409, 410, 412, 413, 422, 451, 501, 505]) {
    // With Retry-After a 403 throttles.
    await using server = await open((response) => status(response, code, code === 403 ? undefined : '0'));
    assert.equal((await server.send()).status, code);
    assert.equal(server.attempts, 1, `status ${code}`);
  }
});

test('After a 421 the request goes over another connection.', async () => {
  const sockets = new Set<unknown>();
  await using server = await open((response, attempt) => {
    sockets.add(response.socket);
    if (attempt < 3) response.writeHead(421).end('wrong host');
    else response.end();
  });
  assert.equal((await server.send()).status, 200);
  assert.equal(sockets.size, 3);
});

const throttlings: Record<string, Record<string, string>> = {
  'Retry-After': { 'retry-after': '1' },
  'X-RateLimit-Remaining: 0': { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1' },
  'RateLimit-Remaining: 0': { 'ratelimit-remaining': '0', 'ratelimit-reset': '1' },
  'RateLimit with r=0': { ratelimit: '"burst";r=0;t=1, "day";r=100;t=4000' },
};
for (const [what, headers] of Object.entries(throttlings)) {
  for (const code of [403, 429, 503]) {
    test(`A ${code} with ${what} throttles everybody for as long as it says, and no request fails.`, async () => {
      const { pace, pauses } = watchedPace();
      let throttles = 0;
      await using server = await open(
        (response, attempt) => response.writeHead(attempt <= 10 ? code : 200, headers).end(),
        { pace, throttled: () => throttles++ },
      );
      const answers = await Promise.all(Array.from({ length: 10 }, () => server.send()));
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
      assert.deepEqual([server.attempts, throttles], [20, 10]);
      assert.deepEqual(pauses, Array(10).fill(1000));
    });
  }
}

test('A date in Retry-After, or a point in time in X-RateLimit-Reset, counts from the Date of the same answer.', async () => {
  const cases = [-120_000, 0, 120_000].flatMap((wrongByMs) => {
    // Dates have no milliseconds.
    const nowMs = Math.floor((Date.now() + wrongByMs) / 1000) * 1000;
    const date = new Date(nowMs).toUTCString();
    return [
      { date, 'retry-after': new Date(nowMs + 1000).toUTCString() },
      { date, 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(nowMs / 1000 + 1) },
      { date, 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(nowMs + 1000) },
    ];
  });
  const sending = cases.map(async (headers) => {
    const { pace, pauses } = watchedPace();
    const answer: Answer = (response, attempt) => response.writeHead(attempt > 1 ? 200 : 429, headers).end();
    await using server = await open(answer, { pace });
    assert.equal((await server.send()).status, 200);
    assert.equal(server.attempts, 2);
    assert.deepEqual(pauses, [1000]);
  });
  await Promise.all(sending);
});

test('A server that throttles until the run ends interrupts it as throttled, although it never says for how long.', async () => {
  await using server = await open((response) => status(response, 429));
  server.closesInMs = 0;
  await assert.rejects(server.send(), { name: 'Interrupted', reason: 'throttled', message: /until the run ends/ });
  assert.equal(server.attempts, 1);
});

test('A patient request is tried for as long as the server throttles, although it is the only one; one that fails is not.', async () => {
  const options = { pace: createPace({ concurrency: 1 }), patient: true };
  await using throttling = await open((response, attempt) => status(response, attempt > 8 ? 200 : 429, '0'), options);
  assert.equal((await throttling.send()).status, 200);
  assert.equal(throttling.attempts, 9);
  await using down = await open((response) => status(response, 503), options);
  assert.equal((await down.send()).status, 503);
  assert.equal(down.attempts, 5);
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

/** Answers 200, and that this was the last request until the reset. */
const lastOne = (response: ServerResponse, resetSeconds: number) =>
  response.writeHead(200, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(resetSeconds) }).end();

test('A request that uses up a quota has succeeded, and the next ones wait for the reset.', async () => {
  const pace = createPace({ concurrency: 10 });
  const rests: number[] = [];
  const { rest } = pace;
  pace.rest = (pauseMs) => {
    rests.push(pauseMs);
    rest(pauseMs);
  };
  let throttled = 0;
  await using server = await open((response) => lastOne(response, server.attempts < 3 ? 1 : 0), {
    pace,
    throttled: () => throttled++,
  });
  for (let sent = 0; sent < 4; sent++) assert.equal((await server.send()).status, 200);
  assert.deepEqual([rests, server.attempts, throttled], [[1000, 1000], 4, 0]);
});

test('Where the reset is too far, what is in flight still counts, and whatever comes next interrupts the run.', async () => {
  for (const [resetSeconds, closesInMs] of [
    [31, 60_000],
    [20, 19_000],
  ] as const) {
    const waiting: ServerResponse[] = [];
    await using server = await open(
      (response, attempt) => (attempt === 1 ? waiting.push(response) : lastOne(response, resetSeconds)),
      { pace: createPace({ concurrency: 10 }) },
    );
    server.closesInMs = closesInMs;
    const inFlight = server.send();
    await until(() => waiting.length === 1);
    assert.equal((await server.send()).status, 200);
    const message = `the target takes no more requests for ${resetSeconds} s`;
    for (let sent = 0; sent < 2; sent++) {
      const rejected = await server.send().catch((error) => error);
      assert.ok(rejected instanceof Interrupted);
      assert.deepEqual([rejected.reason, rejected.message], ['throttled', message]);
      // A pause that only this run does not outlast is none of the next ticks'.
      assert.equal(rejected.notBeforeMs !== undefined, resetSeconds > 30);
    }
    waiting[0]!.end();
    assert.equal((await inFlight).status, 200);
    assert.equal(server.attempts, 2);
  }
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
