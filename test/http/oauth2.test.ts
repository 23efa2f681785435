import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { answer, bodyOf, serve } from '../../infra/local/serve.ts';
import type { OAuth2Client } from '../../lib/auth.ts';
import { oauth2 } from '../../lib/http/auth.ts';
import { cursorPages } from '../../lib/read/cursor-pages.ts';
import { listSource } from '../support/listed-source.ts';

type Give = (response: ServerResponse, exchange: number) => void;

const token = (response: ServerResponse, value: string, more: object = { expires_in: 3600 }) =>
  answer(response, 200, { access_token: value, token_type: 'Bearer', ...more });

const list = cursorPages({ path: '/items', records: 'items', next: 'next' });

/** A token server, and an API that takes a request with the token that `takes` accepts. */
async function open(give: Give, options: { takes?: (token: string) => boolean; client?: Partial<OAuth2Client> } = {}) {
  const { takes = () => true } = options;
  await using stack = new AsyncDisposableStack();
  const exchanges: { authorization: string | undefined; body: string }[] = [];
  const tokensSeen: string[] = [];
  const tokenServer = stack.use(
    await serve(async (request, response) => {
      exchanges.push({ authorization: request.headers.authorization, body: await bodyOf(request) });
      give(response, exchanges.length);
    }),
  );
  const api = stack.use(
    await serve((request, response) => {
      const seen = String(request.headers.authorization).replace('Bearer ', '');
      tokensSeen.push(seen);
      answer(response, takes(seen) ? 200 : 401, { items: [1] });
    }),
  );
  // Tokens are kept for a client, so each test has one of its own.
  const client = { clientId: randomUUID(), clientSecret: 'hunter2 %', tokenUrl: `${tokenServer.url}/oauth/token?v=2` };
  const owned = stack.move();
  return {
    ...{ exchanges, tokensSeen, client, [Symbol.asyncDispose]: () => owned.disposeAsync() },
    /** One run of its own: reads the list with these sides by sides. */
    async run(times = 1) {
      const auth = () => oauth2({ ...client, ...options.client });
      await using listed = await listSource(list, api.url, { job: { auth } });
      await Promise.all(Array.from({ length: times }, () => listed.readAll()));
    },
  };
}

/** Checks that an error leaks nothing, however deep one looks. */
async function failureOf(running: Promise<void>) {
  const error = await running.then(
    () => assert.fail('the run should fail'),
    (error: Error) => error,
  );
  assert.doesNotMatch(inspect(error, { depth: 20 }), /hunter2|minted/);
  return error;
}

test('A token is asked for with the client’s credentials in the header, or in the body, with scope and audience.', async () => {
  await using server = await open((response) => token(response, 'minted'), {
    client: { scope: 'a b', audience: 'api' },
  });
  await server.run();
  const { clientId } = server.client;
  const [asked] = server.exchanges;
  assert.equal(
    asked?.authorization,
    `Basic ${Buffer.from(`${encodeURIComponent(clientId).replaceAll('-', '%2D')}:hunter2+%25`).toString('base64')}`,
  );
  assert.deepEqual(Object.fromEntries(new URLSearchParams(asked?.body)), {
    ...{ grant_type: 'client_credentials', scope: 'a b', audience: 'api' },
  });
  assert.deepEqual(server.tokensSeen, ['minted']);
  await using inBody = await open((response) => token(response, 'minted'), { client: { clientAuth: 'body' } });
  await inBody.run();
  assert.equal(inBody.exchanges[0]?.authorization, undefined);
  assert.deepEqual(Object.fromEntries(new URLSearchParams(inBody.exchanges[0]?.body)), {
    ...{ grant_type: 'client_credentials', client_id: inBody.client.clientId, client_secret: 'hunter2 %' },
  });
});

test('Requests side by side and later runs share one exchange.', async () => {
  await using server = await open((response) => token(response, 'minted'));
  await server.run(10);
  await server.run(10);
  assert.equal(server.exchanges.length, 1);
  assert.equal(server.tokensSeen.length, 20);
});

test('A token is renewed a minute before it expires, or at nine tenths of a short life; without an expiry it stays.', async (t: TestContext) => {
  for (const [more, keptMs, staleMs] of [
    [{ expires_in: 3600 }, 3_538_000, 3_541_000],
    [{ expires_in: '100' }, 89_000, 91_000],
    [{}, 1e12, undefined],
  ] as const) {
    await using server = await open((response, exchange) => token(response, `minted-${exchange}`, more));
    await server.run();
    const nowMs = Date.now();
    const clock = t.mock.method(Date, 'now', () => nowMs + keptMs);
    await server.run();
    assert.equal(server.exchanges.length, 1);
    if (staleMs !== undefined) {
      clock.mock.mockImplementation(() => nowMs + staleMs);
      await server.run(5);
      assert.equal(server.exchanges.length, 2);
      assert.equal(server.tokensSeen.at(-1), 'minted-2');
    }
    clock.mock.restore();
  }
});

test('A 401 renews the token once, for all requests that got one.', async () => {
  let current = 'minted-1';
  await using server = await open(
    (response, exchange) => {
      current = `minted-${exchange}`;
      token(response, current);
    },
    { takes: (seen) => seen === current },
  );
  await server.run();
  // Revoked by somebody else.
  current = 'none';
  await server.run(10);
  assert.equal(server.exchanges.length, 2);
});

test('A new token that is refused as well is a CredentialsError, once the secret has no newer version.', async () => {
  await using server = await open((response) => token(response, 'minted'), { takes: () => false });
  assert.equal((await failureOf(server.run())).name, 'CredentialsError');
});

test('A client that is refused is a CredentialsError that says what the server said, and not tried again.', async () => {
  for (const [status, body] of [
    [401, { error: 'invalid_client', error_description: 'wrong hunter2 %' }],
    [400, { error: 'unauthorized_client' }],
  ] as const) {
    await using server = await open((response) => answer(response, status, body));
    const { name, message } = await failureOf(server.run());
    assert.equal(name, 'CredentialsError');
    assert.match(message, new RegExp(`the token server of the source answered ${status}: {"error":"${body.error}"`));
    // Once for each version of the secret.
    assert.equal(server.exchanges.length, 2);
  }
});

test('A token server that is down is tried again, and is a TokenError in the end.', async () => {
  await using server = await open((response, exchange) => {
    if (exchange < 4) answer(response, 503, {});
    else token(response, 'minted');
  });
  await server.run();
  assert.equal(server.exchanges.length, 4);
  await using down = await open((response) => response.destroy());
  const { name, message } = await failureOf(down.run());
  assert.equal(name, 'TokenError');
  assert.match(message, /^the token server of the source did not answer: /);
  assert.equal(down.exchanges.length, 5);
  await using refusing = await open((response) => answer(response, 500, { error: 'broken' }));
  assert.match(
    (await failureOf(refusing.run())).message,
    /^the token server of the source answered 500: {"error":"broken"}$/,
  );
});

test('An answer without a token, or with one of another kind, is a TokenError that does not quote it.', async () => {
  for (const [body, message] of [
    [{ token_type: 'Bearer' }, /"access_token" property must be a string/],
    [{ access_token: 5, token_type: 'Bearer' }, /"access_token" property must be a string/],
    [{ access_token: 'minted', token_type: 'mac' }, /unsupported `token_type` value/],
    [{ access_token: 'minted' }, /"token_type" property/],
    [[], /token that can be used/],
  ] as const) {
    await using server = await open((response) => answer(response, 200, body));
    const { name, message: said } = await failureOf(server.run());
    assert.equal(name, 'TokenError');
    assert.match(said, message);
  }
  await using html = await open((response) => response.writeHead(200, { 'content-type': 'text/html' }).end('minted'));
  assert.equal((await failureOf(html.run())).name, 'TokenError');
});

test('A wrong scope is a TokenError with the reason of the server.', async () => {
  await using server = await open((response) => answer(response, 400, { error: 'invalid_scope' }));
  const { name, message } = await failureOf(server.run());
  assert.deepEqual(
    [name, message],
    ['TokenError', 'the token server of the source answered 400: {"error":"invalid_scope"}'],
  );
});
