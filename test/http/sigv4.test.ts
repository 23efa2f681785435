import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { before, test } from 'node:test';
import { answer, bodyOf } from '../../infra/local/serve.ts';
import { sigV4 } from '../../lib/http/auth.ts';
import { cursorPages } from '../../lib/read/cursor-pages.ts';
import { openListed } from '../support/listed-source.ts';

const SECRET_KEY = 'hunter2/secret+key';

before(() => {
  Object.assign(process.env, {
    ...{ AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: SECRET_KEY },
    AWS_SESSION_TOKEN: 'session',
  });
});

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
const encoded = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);

/**
 * The signature that AWS would reckon, by the steps of "Create a signed AWS API request" in the IAM user guide; written for
 * this test alone.
 */
function signatureOf(request: IncomingMessage, body: string) {
  const [, date = '', region = '', service = '', names = '', given = ''] =
    /Credential=AKIDEXAMPLE\/(\d+)\/([\w-]+)\/([\w-]+)\/aws4_request, SignedHeaders=(\S+), Signature=(\w+)$/.exec(
      String(request.headers.authorization),
    ) ?? [];
  const [path = '', query = ''] = String(request.url).split('?');
  const parameters = query
    .split('&')
    .filter(Boolean)
    .map((parameter) => parameter.split('=').map((part) => encoded(decodeURIComponent(part))))
    .map(([name, value = '']) => `${name}=${value}`)
    .sort()
    .join('&');
  const canonicalPath = service === 's3' ? path : path.split('/').map(encoded).join('/');
  const headers = names.split(';').map((name) => `${name}:${String(request.headers[name]).trim()}\n`);
  const canonical = [request.method, canonicalPath, parameters, headers.join(''), names, sha256(body)].join('\n');
  const scope = `${date}/${region}/${service}/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], scope, sha256(canonical)].join('\n');
  const key = [region, service, 'aws4_request'].reduce<Buffer>(hmac, hmac(`AWS4${SECRET_KEY}`, date));
  return { given, right: hmac(key, toSign).toString('hex'), region, service, names };
}

test('AWS’s signature holds for a GET with a query and for a POST with a body, under a base path.', async () => {
  for (const [service, region, body] of [
    ['execute-api', undefined, undefined],
    ['execute-api', 'us-west-2', { cursor: 'größe' }],
    ['s3', undefined, undefined],
  ] as const) {
    const seen: [IncomingMessage, string][] = [];
    const list = cursorPages({
      ...{ path: '/items/a%20b(1)', records: 'items', next: 'next' },
      query: ({ since }) => ({ since, q: "a b+c/d=e&f*'", empty: '' }),
      ...(body && { body: () => body }),
    });
    await using source = await openListed(
      list,
      async (request, response) => {
        seen.push([request, await bodyOf(request)]);
        answer(response, 200, { items: [], next: seen.length < 2 ? 'n 2' : null });
      },
      { below: '/prod', job: { auth: () => sigV4({ service, ...(region && { region }) }) } },
    );
    await source.readAll(null, { since: '2026-01-01T00:00:00.000Z' });
    assert.equal(seen.length, 2);
    for (const [request, sent] of seen) {
      const { given, right, ...scope } = signatureOf(request, sent);
      assert.equal(given, right);
      assert.deepEqual([scope.service, scope.region], [service, region ?? 'eu-central-1']);
      assert.equal(request.headers['x-amz-security-token'], 'session');
      assert.match(scope.names, /host.*x-amz-date.*x-amz-security-token/);
    }
  }
});

test('Each attempt is signed anew, and a refusal shows nothing of the signature.', async () => {
  const list = cursorPages({ path: '/items', records: 'items', next: 'next' });
  const seen: IncomingMessage[] = [];
  await using source = await openListed(
    list,
    (request, response) => {
      seen.push(request);
      if (seen.length === 1) answer(response, 503, {});
      else answer(response, 403, { message: `session ${request.headers.authorization}` });
    },
    { job: { auth: () => sigV4({ service: 'execute-api' }) } },
  );
  await assert.rejects(source.readAll(), {
    message: 'GET /items at the source was answered with 403: {"message":"… …"}',
  });
  for (const request of seen) assert.equal(signatureOf(request, '').given, signatureOf(request, '').right);
});
