import assert from 'node:assert/strict';
import type { ServerOptions } from 'node:https';
import { test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { answer } from '../../infra/local/serve.ts';
import { createHttp } from '../../lib/http/client.ts';
import type { Identity } from '../../lib/http/tls.ts';
import { openSource } from '../../lib/read/source.ts';
import { openTarget } from '../../lib/write/target.ts';
import { createAuthority } from '../support/certificates.ts';
import { job } from '../support/job.ts';
import { record, secretVersion } from '../support/pipeline.ts';
import { serveTls } from '../support/tls-server.ts';

const { signal } = new AbortController();
const guard = { check() {}, closing: signal, closesInMs: () => 60_000, signal };
const authority = createAuthority('a company');
const stranger = createAuthority('a stranger');
const client = authority.issue('solotick');
const asked = { ca: authority.cert, requestCert: true };

/** A source and a target in one, over TLS. It knows each client by the name in its certificate. */
const serveModels = (options: ServerOptions = authority.issue('server')) =>
  serveTls(options, (_, response) => answer(response, 200, { models: [record('m-1')], nextCursor: null }));

const credentialsWith = (tls: { source?: Identity; target?: Identity }) => {
  const secret = { ...secretVersion(1).secret, tls };
  return { current: () => secret, renew: () => Promise.reject(new Error('not asked for')) };
};

/** Reads a page and writes its record, as a run does, with this part of the secret. */
async function copyOne(url: string, tls: { source?: Identity; target?: Identity }) {
  const server = { url, timeoutMs: 60_000, credentials: credentialsWith(tls), guard };
  await using source = openSource(job.source, server);
  const [page] = await Array.fromAsync(source.pages({}, null));
  const fence = { token: '7', scope: '/lock', refused: async () => new Error('fenced') };
  const writing = { id: job.id, passName: () => 'run-1', settings: { TARGET_REGION_ID: 'eu' } };
  await using target = openTarget(job.target, writing, fence, { ...server, concurrency: 5, perSecond: undefined });
  for (const each of page!.records) await target.prepare(each as ReturnType<typeof record>).write!();
}

test('With the authority that the secret names, source and target are trusted, by address and by name.', async () => {
  await using server = await serveModels();
  const identity = { ca: authority.cert };
  for (const url of [server.url, server.named]) await copyOne(url, { source: identity, target: identity });
  assert.equal(server.clients.length, 4);
});

test('Without it, or with that of somebody else, they are not, each by itself.', async () => {
  await using server = await serveModels();
  const [known, foreign] = [{ ca: authority.cert }, { ca: stranger.cert }];
  const untrusted = /UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT_LOCALLY/;
  for (const source of [{}, foreign])
    await assert.rejects(copyOne(server.url, { source, target: known }), { name: 'SourceError', message: untrusted });
  assert.deepEqual(server.clients, []);
  for (const target of [{}, foreign])
    await assert.rejects(copyOne(server.url, { source: known, target }), { name: 'TargetError', message: untrusted });
  assert.equal(server.clients.length, 2);
});

test('A server that asks for a certificate gets the one of the secret, over every connection.', async () => {
  await using server = await serveModels({ ...authority.issue('server'), ...asked });
  const identity = { ca: authority.cert, ...client };
  await copyOne(server.url, { source: identity, target: { ca: authority.cert, ...authority.issue('writer') } });
  assert.deepEqual(server.clients, ['solotick', 'writer']);
  await using http = createHttp(server.named, { timeoutMs: 60_000, maxBytes: 1000, signal, identity });
  await Promise.all(Array.from({ length: 20 }, () => http.send({ method: 'GET', path: '/', headers: {} })));
  assert.deepEqual(server.clients.slice(2), Array(20).fill('solotick'));
});

test('A server that asks for a certificate serves nobody without one, or with one of somebody else.', async () => {
  await using server = await serveModels({ ...authority.issue('server'), ...asked });
  for (const own of [{}, stranger.issue('solotick')])
    await assert.rejects(copyOne(server.url, { source: { ca: authority.cert, ...own } }), { name: 'SourceError' });
  assert.deepEqual(server.clients, []);
});

test('The authority of the secret replaces none of those that Node trusts.', async () => {
  await using server = await serveModels(stranger.issue('server'));
  const own = getCACertificates('default');
  setDefaultCACertificates([...own, stranger.cert]);
  try {
    const identity = { ca: authority.cert };
    await copyOne(server.url, { source: identity, target: identity });
  } finally {
    setDefaultCACertificates(own);
  }
});

test('A certificate counts for the names in it only, although its authority is trusted.', async () => {
  await using server = await serveModels();
  await using http = createHttp(server.url.replace('127.0.0.1', 'api.example'), {
    ...{ timeoutMs: 60_000, maxBytes: 1000, signal, identity: { ca: authority.cert } },
    lookup: (_hostname, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
  });
  const message = /^ERR_TLS_CERT_ALTNAME_INVALID: .*api\.example/;
  await assert.rejects(http.send({ method: 'GET', path: '/', headers: {} }), { name: 'HttpError', message });
});

test('A secret for TLS with a server that is spoken to in the clear is a SettingsError, except on this machine.', async () => {
  const identity = { ca: authority.cert };
  for (const url of ['http://api.example', 'http://127.0.0.1.example:80'])
    await assert.rejects(copyOne(url, { source: identity }), {
      ...{ name: 'SettingsError', message: 'SOURCE_URL must be an https URL, because the secret has tls.source' },
    });
  const server = {
    url: 'http://api.example',
    timeoutMs: 1000,
    credentials: credentialsWith({ target: identity }),
    guard,
  };
  const writing = { id: job.id, passName: () => 'run-1', settings: { TARGET_REGION_ID: 'eu' } };
  const fence = { token: '7', scope: '/lock', refused: async () => new Error('fenced') };
  assert.throws(() => openTarget(job.target, writing, fence, { ...server, concurrency: 5, perSecond: undefined }), {
    ...{ name: 'SettingsError', message: 'TARGET_URL must be an https URL, because the secret has tls.target' },
  });
  for (const url of ['http://127.0.0.1:1', 'http://localhost:1', 'http://[::1]:1']) {
    await using _source = openSource(job.source, {
      ...server,
      url,
      credentials: credentialsWith({ source: identity }),
    });
  }
});
