import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer } from '../../infra/local/serve.ts';
import { apiKey, auth, basic, bearer, oauth2, sigV4 } from '../../lib/http/auth.ts';
import type { SourceJob } from '../../lib/job-types.ts';
import { cursorPages } from '../../lib/read/cursor-pages.ts';
import { openListed } from '../support/listed-source.ts';

const list = cursorPages({ path: '/items?a=1', records: 'items', next: 'next' });

/** A source that answers as `statusOf` says, with this authorization. */
const open = (own: SourceJob['auth'], statusOf: (headers: Record<string, unknown>) => number = () => 200) =>
  openListed(list, ({ headers }, response) => answer(response, statusOf(headers), { items: [] }), {
    job: own ? { auth: own } : {},
  });

/** The JobError of options in plain JavaScript. */
function faultOf(make: () => unknown): string {
  try {
    make();
  } catch (error) {
    assert.equal((error as Error).name, 'JobError');
    return (error as Error).message;
  }
  return assert.fail('the options should be refused');
}

test('Basic and Bearer go into the Authorization header, a key into the header or the parameter that the job names.', async () => {
  for (const [made, header, value, url] of [
    [basic('Aladdin', 'open sesame'), 'authorization', 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==', '/items?a=1'],
    [basic('ü', ':'), 'authorization', 'Basic w7w6Og==', '/items?a=1'],
    [bearer('token'), 'authorization', 'Bearer token', '/items?a=1'],
    [apiKey({ header: 'X-Api-Key', value: 'k' }), 'x-api-key', 'k', '/items?a=1'],
    [apiKey({ query: 'api key', value: 'k&=' }), 'authorization', undefined, '/items?a=1&api+key=k%26%3D'],
  ] as const) {
    await using source = await open(() => made);
    await source.readAll();
    const [request] = source.requests;
    assert.deepEqual([request?.headers[header], request?.url], [value, url]);
  }
});

test('A job without an authorization sends none.', async () => {
  await using source = await openListed(list, (_, response) => answer(response, 200, { items: [] }), {
    job: { auth: undefined } as never,
  });
  await source.readAll();
  assert.equal(source.requests[0]?.headers.authorization, undefined);
});

test('An authorization of one’s own makes headers for each request, and others after a 401.', async () => {
  const asked: [string, string, boolean][] = [];
  const own = auth(async ({ method, path }, renew) => {
    asked.push([method, path, renew]);
    return { 'X-Session': renew ? 'new' : 'old' };
  });
  await using source = await open(
    () => own,
    (headers) => (headers['x-session'] === 'new' ? 200 : 401),
  );
  await source.readAll();
  assert.deepEqual(asked, [
    ['GET', '/items?a=1', false],
    ['GET', '/items?a=1', true],
  ]);
});

test('Where another signature is refused as well, the secret is read again, and then the credentials are at fault.', async () => {
  const asked: string[] = [];
  const own: SourceJob['auth'] = ({ secret }) => {
    const { password } = (secret as { source: { password: string } }).source;
    return auth((_, renew) => {
      asked.push(`${password}${renew ? ' again' : ''}`);
      return { authorization: password };
    });
  };
  await using source = await open(own, () => 401);
  await assert.rejects(source.readAll(), { name: 'CredentialsError' });
  assert.deepEqual(asked, ['password-1', 'password-1 again', 'password-2', 'password-2 again']);
});

test('What is no single authorization is a JobError that names the part, and quotes nothing of the secret.', async () => {
  for (const [own, message] of [
    [() => undefined, /^source\.auth must return one authorization/],
    [() => [basic('a', 'b'), bearer('c')], /^source\.auth must return one authorization/],
    [() => apiKey({ header: 'a', query: 'b', value: 'c' } as never), /^source\.auth: apiKey takes/],
    [
      () => {
        throw new TypeError('hunter2');
      },
      /^source\.auth threw TypeError$/,
    ],
  ] as const) {
    await using source = await open(own as never);
    await assert.rejects(source.readAll(), { name: 'JobError', message });
  }
});

test('Options that cannot be are named.', () => {
  const client = { tokenUrl: 'https://t.example', clientId: 'a', clientSecret: 'b' };
  oauth2({ ...client, scope: 'x', audience: 'y', clientAuth: 'body' });
  oauth2({ ...client, tokenUrl: 'http://127.0.0.1:1/token' });
  sigV4({ service: 'execute-api', region: 'eu-west-1' });
  assert.equal(
    faultOf(() => apiKey({ header: 'a', value: 'b', extra: 1 } as never)),
    'apiKey takes { header, value } or { query, value }',
  );
  assert.equal(
    faultOf(() => oauth2({ ...client, clientId: '' })),
    'oauth2: "clientId" is missing',
  );
  assert.equal(
    faultOf(() => oauth2({ ...client, scopes: 'x' } as never)),
    'oauth2: "scopes" is not an option of it',
  );
  assert.equal(
    faultOf(() => oauth2({ ...client, clientAuth: 'jwt' as never })),
    'oauth2: "clientAuth" must be basic or body',
  );
  for (const tokenUrl of ['http://t.example', 'ftp://t.example', 'token'])
    assert.equal(
      faultOf(() => oauth2({ ...client, tokenUrl })),
      'oauth2: "tokenUrl" must be an https URL',
    );
  assert.equal(
    faultOf(() => sigV4({} as never)),
    'sigV4: "service" is missing',
  );
  assert.equal(
    faultOf(() => sigV4({ service: 's3', key: 'x' } as never)),
    'sigV4: "key" is not an option of it',
  );
});
