import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { bundlePage } from '../../infra/console/bundle.ts';
import { type Console, startConsole } from '../../infra/console/server.ts';
import { statusReader } from '../../infra/console/statuses.ts';
import { troubleOf } from '../../infra/console/trouble.ts';
import { until } from '../../infra/console/until.ts';
import type { Control } from '../../lib/event.ts';
import { jobsAnswering, sampleStatus } from './sample.ts';

let served: Console;
let url: URL;
const asked: Control[] = [];

before(async () => {
  const jobs = jobsAnswering({ models: () => sampleStatus('models', Date.now()) });
  const of = (job: string) => {
    const functions = jobs.of(job);
    return {
      ...functions,
      control: (event: Control) => {
        asked.push(event);
        return functions.control(event);
      },
    };
  };
  served = await startConsole({ stage: 'dev', local: true, jobs: { ...jobs, of }, timers: [], startedBy: 'a test' });
  url = new URL(served.url);
});
after(() => served?.[Symbol.asyncDispose]());

interface Sent {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** Sends a request with exactly these headers, which `fetch` would not let through. */
function send({ method = 'GET', path = url.pathname, headers = {}, body }: Sent) {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number;
    headers: Record<string, unknown>;
    text: string;
  }>();
  const { hostname, port } = url;
  const sent = request({ ...{ hostname, port, method, path, headers }, signal: AbortSignal.timeout(30_000) });
  sent.on('response', (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (piece) => {
      text += piece;
    });
    response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
  });
  sent.on('error', reject).end(body);
  return promise;
}

const act = (headers: Record<string, string>, body: unknown) =>
  send({
    ...{ method: 'POST', path: `${url.pathname}api/actions`, headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const own = () => ({ origin: url.origin, 'content-type': 'application/json' });
const resume = { job: 'models', action: { do: 'resume' } };

test('The page forbids everything that is not its own, and is not kept by the browser.', async () => {
  for (const path of ['', 'script.js', 'style.css', 'api/jobs']) {
    const { status, headers } = await send({ path: url.pathname + path });
    assert.equal(status, 200, path);
    assert.match(
      String(headers['content-security-policy']),
      /^default-src 'none'; script-src 'self'; style-src 'self'; /,
    );
    assert.match(String(headers['content-security-policy']), /form-action 'none'; frame-ancestors 'none'$/);
    assert.partialDeepStrictEqual(headers, {
      ...{ 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' },
    });
    assert.equal(headers['access-control-allow-origin'], undefined);
  }
});

test('Without the token there is nothing, not even the page; a token that is nearly right is wrong.', async () => {
  const token = url.pathname.slice(1, -1);
  assert.match(token, /^[\w-]{43}$/);
  const nearly = (token[0] === 'A' ? 'B' : 'A') + token.slice(1);
  const wrong = [
    '/',
    '/api/jobs',
    `/${nearly}/`,
    `/${nearly}/api/jobs`,
    `/${token}x/`,
    `/x/../${token}/`,
    `//${token}/`,
  ];
  for (const path of wrong) {
    const { status, text } = await send({ path });
    assert.equal(status, 404, path);
    assert.equal(text, '{"message":"there is nothing here"}');
  }
  assert.equal((await send({ path: `/${token}` })).headers.location, `/${token}/`);
});

test('Another Host, such as a name that an attacker points to this machine, is refused; localhost is not.', async () => {
  for (const host of ['evil.example', `evil.example:${url.port}`, '127.0.0.1', '127.0.0.1:1'])
    assert.equal((await send({ headers: { host } })).status, 421, host);
  assert.equal((await send({ headers: { host: `localhost:${url.port}` } })).status, 200);
});

test('An action of another page, or without Origin, or that is not JSON by its type, is refused and does nothing.', async () => {
  asked.length = 0;
  const json = { 'content-type': 'application/json' };
  for (const origin of ['http://evil.example', 'null', `http://127.0.0.1:1`, `https://127.0.0.1:${url.port}`]) {
    assert.equal((await act({ ...json, origin }, resume)).status, 403, origin);
    assert.equal((await send({ path: `${url.pathname}api/jobs`, headers: { origin } })).status, 403, origin);
  }
  assert.equal((await act(json, resume)).status, 403);
  assert.equal((await act({ origin: url.origin, 'content-type': 'text/plain' }, resume)).status, 415);
  assert.equal((await act({ origin: url.origin }, resume)).status, 415);
  for (const method of ['PUT', 'DELETE', 'OPTIONS']) assert.equal((await send({ method, headers: own() })).status, 405);
  assert.deepEqual(asked, []);
  assert.equal((await act(own(), resume)).status, 200);
  assert.deepEqual(asked, [{ action: 'resume' }]);
});

test('An action that is malformed is refused with what is wrong where, and does nothing.', async () => {
  asked.length = 0;
  for (const [body, fault] of [
    ['{', /the request is not JSON/],
    [{ job: 'other', action: { do: 'resume' } }, /there is no such job/],
    [{ job: 'models', action: { do: 'deploy' } }, /action\.do: /],
    [{ job: 'models', action: { do: 'resume', more: 1 } }, /action\.more: /],
    [{ job: 'models', action: { do: 'pause', note: 'x'.repeat(501) } }, /action\.note: /],
    [{ job: 'models', action: { do: 'reset', what: 'everything' } }, /action\.what: /],
    [{ job: 'models', action: { do: 'reset', what: 'failed', to: '2026-01-01T00:00:00Z' } }, /to belongs to a reset/],
    [{ job: 'models', action: { do: 'backfill', since: 'yesterday', dryRun: true } }, /action\.since: /],
    [{ job: 'models', action: { do: 'backfill', ids: [], dryRun: true } }, /must name an id/],
    [{ job: 'models', action: { do: 'approve-removals', upTo: -1 } }, /action\.upTo: /],
    [{ job: 'models', action: { do: 'cancel-backfill', backfillId: '../x' } }, /action\.backfillId: /],
  ] as const) {
    const { status, text } = await act(own(), body);
    assert.equal(status, 400, text);
    assert.match(JSON.parse(text).message, fault);
  }
  const long = { ...resume, more: 'x'.repeat(1_000_001) };
  assert.equal((await act(own(), long)).status, 413);
  assert.deepEqual(asked, []);
});

test('Those who ask at the same time share one invocation.', async () => {
  let invocations = 0;
  const status = () => {
    invocations++;
    return sampleStatus('models', Date.now());
  };
  const read = statusReader({ jobs: jobsAnswering({ models: status }), timers: [], local: true });
  const answers = await Promise.all([read(), read(), read()]);
  assert.deepEqual(
    answers.map(([view]) => view?.status?.job),
    ['models', 'models', 'models'],
  );
  assert.equal(invocations, 1);
  await read();
  assert.equal(invocations, 2);
});

test('A console that ends waits for no answer any more: not for that of a status, nor for that of an action.', {
  timeout: 60_000,
}, async () => {
  const waiting = new Set<string>();
  const never = (name: string) => (_: unknown, signal?: AbortSignal) => {
    waiting.add(name);
    signal?.addEventListener('abort', () => waiting.delete(name));
    return new Promise<never>(() => {});
  };
  const functions = { sync: never('sync'), backfill: never('backfill'), control: never('control') };
  const jobs = { names: ['models'], shardsOf: () => 1, of: () => functions };
  const other = await startConsole({ stage: 'dev', local: true, jobs, timers: [], startedBy: 'a test' });
  const { origin } = new URL(other.url);
  const headers = { origin, 'content-type': 'application/json' };
  const body = JSON.stringify({ job: 'models', action: { do: 'tick' } });
  const begun = await fetch(`${other.url}api/actions`, { method: 'POST', headers, body });
  assert.partialDeepStrictEqual(await begun.json(), { action: 'tick', sentence: 'It is under way.' });
  const asked = fetch(`${other.url}api/jobs`).catch(() => undefined);
  while (waiting.size < 2) await setImmediate();
  await other[Symbol.asyncDispose]();
  assert.deepEqual([...waiting], []);
  await asked;
});

test('A status that never comes is not waited for longer than its deadline, whether or not the invocation hears of it.', async () => {
  const nobody = () => new Promise<never>(() => {});
  const functions = { sync: nobody, backfill: nobody, control: nobody };
  const jobs = until(new AbortController().signal, { names: [], shardsOf: () => 1, of: () => functions });
  const deadline = new AbortController();
  const status = jobs.of('models').control({ action: 'status' }, deadline.signal);
  const late = new DOMException('too late', 'TimeoutError');
  deadline.abort(late);
  await assert.rejects(status, /too late/);
  assert.equal(troubleOf(late, { local: false, late: true, asked: 'status' }).kind, 'late');
});

test('Page, script and style are under 60 kB zipped, and name no other host.', async () => {
  const files = await bundlePage();
  const all = [...files.values()].map(({ content }) => content);
  const bytes = all.reduce((sum, content) => sum + gzipSync(content).length, 0);
  assert.ok(bytes < 60_000, `${bytes} bytes`);
  assert.ok(all.every((content) => content.length > 100));
  const hosts = all.join('').match(/https?:\/\/[^'"`\s)]+/g) ?? [];
  assert.deepEqual(
    [...new Set(hosts)].filter((host) => !host.startsWith('http://www.w3.org/')),
    [],
  );
});
