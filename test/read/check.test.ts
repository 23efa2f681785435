import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, bodyOf } from '../../infra/local/serve.ts';
import type { SourceJob } from '../../lib/job-types.ts';
import { cursorPages } from '../../lib/read/cursor-pages.ts';
import { openListed } from '../support/listed-source.ts';

const list = cursorPages({ path: '/items', records: 'items', next: 'next' });

/** A source that gives these answers one after the other, the last one for good. */
function open(answers: [status: number, body: unknown, headers?: Record<string, string>][], job: Partial<SourceJob>) {
  let asked = 0;
  return openListed(
    list,
    (_, response) => {
      const [status, body, headers] = answers[Math.min(asked++, answers.length - 1)]!;
      answer(response, status, body, headers);
    },
    { job },
  );
}

const page = [200, { items: [1] }] as [number, unknown];
const errors = [200, { errors: [{ message: 'THROTTLED' }] }] as [number, unknown];

test('A 200 that is an error is tried again where the check says so, and is a SourceError in the end.', async () => {
  const check: SourceJob['check'] = (seen) => (Object(seen.json()).errors ? 'retry' : undefined);
  await using source = await open([errors, errors, page], { check });
  assert.deepEqual(await source.readAll(), [{ records: [1], cursor: null }]);
  assert.equal(source.requests.length, 3);
  await using broken = await open([errors], { check });
  await assert.rejects(broken.readAll(), {
    name: 'SourceError',
    message:
      'GET /items at the source was answered with 200: {"errors":[{"message":"THROTTLED"}]} (the check of the job says: retry)',
  });
  assert.equal(broken.requests.length, 5);
});

test('What the check refuses is a SourceError at once, whatever its status.', async () => {
  for (const status of [200, 503]) {
    await using source = await open([[status, { error: 'no such view' }]], { check: () => 'refused' });
    await assert.rejects(source.readAll(), {
      name: 'SourceError',
      message: /no such view.*check of the job says: refused/,
    });
    assert.equal(source.requests.length, 1);
  }
});

test('A 404 that the check calls empty ends the list, and of a single record says that there is none.', async () => {
  const check: SourceJob['check'] = ({ status }) => (status === 404 ? 'empty' : undefined);
  await using source = await open(
    [
      [200, { items: [1], next: 'b' }],
      [404, {}],
    ],
    { check, one: (id) => `/items/${id}` },
  );
  assert.deepEqual(await source.readAll(), [
    { records: [1], cursor: 'b' },
    { records: [], cursor: null },
  ]);
  assert.equal(await source.source.one('x'), undefined);
});

test('A check that chokes on the page of a gateway leaves it to the status; at a 2xx it is a SourceError.', async () => {
  const check: SourceJob['check'] = (seen) => (Object(seen.json()).ok ? undefined : 'refused');
  let asked = 0;
  await using source = await openListed(
    list,
    (_, response) => {
      if (asked++ === 0) response.writeHead(502, { 'content-type': 'text/html' }).end('<html>');
      else answer(response, 200, { ok: true, items: [1] });
    },
    { job: { check } },
  );
  assert.equal((await source.readAll()).length, 1);
  const choking = () => {
    throw new RangeError('hunter2');
  };
  await using broken = await open([page], { check: choking });
  await assert.rejects(broken.readAll(), {
    message: 'GET /items at the source: check of the job threw RangeError at an answer 200',
  });
  await using wrong = await open([page], { check: () => 'written' as never });
  await assert.rejects(wrong.readAll(), { message: /check of the job must return retry, refused, empty or undefined/ });
});

test('An error says what the source said, without a part of the secret.', async () => {
  await using source = await open([[403, { message: 'User reader may not, says password-1' }]], {});
  await assert.rejects(source.readAll(), {
    name: 'SourceError',
    message: 'GET /items at the source was answered with 403: {"message":"User … may not, says …"}',
  });
});

test('A single record may be asked for with a request of its own, and lie deeper in the answer.', async () => {
  const asked: string[] = [];
  const one: SourceJob['one'] = (id, { settings }) => ({
    ...{ method: 'POST', path: '/graphql', headers: { 'X-Site': (settings as { SITE: string }).SITE } },
    body: { query: '…', variables: { id } },
  });
  const found: Record<string, unknown> = {
    a: { data: { nodes: [{ id: 'a' }] } },
    b: { data: { nodes: [] } },
    c: { data: null },
  };
  await using source = await openListed(
    list,
    async (request, response) => {
      const { variables } = JSON.parse(await bodyOf(request));
      asked.push(`${request.method} ${request.headers['x-site']} ${variables.id}`);
      answer(response, 200, found[variables.id]);
    },
    { job: { one, oneRecord: 'data.nodes.0' }, settings: { SITE: 'shop' } },
  );
  assert.deepEqual(await source.source.one('a'), { id: 'a' });
  assert.equal(await source.source.one('b'), undefined);
  await assert.rejects(source.source.one('c'), { name: 'SourceError', message: /answered without "data.nodes.0"$/ });
  assert.deepEqual(asked, ['POST shop a', 'POST shop b', 'POST shop c']);
});

test('A single record that is null, or that a function does not find, does not exist.', async () => {
  for (const oneRecord of ['node', (body: unknown) => Object(body).node] as const) {
    await using source = await open([[200, { node: null }]], { one: () => '/x', oneRecord });
    assert.equal(await source.source.one('x'), undefined);
  }
  await using whole = await open([[200, null]], { one: () => '/x' });
  assert.equal(await whole.source.one('x'), undefined);
});
