import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HttpRequest } from '../../lib/http/client.ts';
import { closingOldScopes, encodeHeader } from '../../lib/write/old-scopes.ts';

const write = (id: string, method = 'PUT') => ({
  ...{ method, path: `/${id}`, body: '{}' },
  headers: { 'x-fencing-scope': 'new', 'x-fencing-token': '7', 'idempotency-key': `run:${id}` },
});

/** A target that takes or refuses requests, and what it got: path, scope and idempotency key. */
function target(refuses: (request: HttpRequest) => boolean = () => false) {
  const got: string[] = [];
  let closed = 0;
  async function attempt(request: HttpRequest) {
    await new Promise(setImmediate);
    got.push(`${request.path} ${request.headers['x-fencing-scope']} ${request.headers['idempotency-key']}`);
    if (refuses(request)) throw new Error('refused');
  }
  const closeFirst = closingOldScopes(['a', 'größe'], { write: attempt, closed: () => closed++ });
  async function call(request: HttpRequest) {
    await closeFirst(request);
    await attempt(request);
  }
  return { call, got, closed: () => closed };
}

test('The first write is made in each old scope before any other begins, and no later one is.', async () => {
  const { call, got, closed } = target();
  await Promise.all([call(write('1')), call(write('2'))]);
  await call(write('3'));
  assert.deepEqual(got.slice(0, 2).sort(), ['/1 a run:1:closes-0', '/1 gr%C3%B6%C3%9Fe run:1:closes-1']);
  assert.deepEqual(got.slice(2).sort(), ['/1 new run:1', '/2 new run:2', '/3 new run:3']);
  assert.equal(closed(), 1);
});

test('A write that is refused in an old scope has failed, and the next one closes what is left.', async () => {
  const { call, got, closed } = target(({ path, headers }) => path === '/1' && headers['x-fencing-scope'] === 'a');
  const [first, second] = await Promise.allSettled([call(write('1')), call(write('2'))]);
  assert.deepEqual([first.status, second.status], ['rejected', 'fulfilled']);
  // Refused in the first, it is not tried in the other.
  assert.deepEqual(got[0], '/1 a run:1:closes-0');
  assert.deepEqual(got.slice(1), ['/2 a run:2:closes-0', '/2 gr%C3%B6%C3%9Fe run:2:closes-1', '/2 new run:2']);
  assert.equal(closed(), 1);
});

test('What was closed stays so where another scope refuses the write.', async () => {
  const { call, got, closed } = target(({ path, headers }) => path === '/1' && headers['x-fencing-scope'] !== 'a');
  const [first, second] = await Promise.allSettled([call(write('1')), call(write('2'))]);
  assert.deepEqual([first.status, second.status], ['rejected', 'fulfilled']);
  assert.deepEqual(got.slice(2), ['/2 gr%C3%B6%C3%9Fe run:2:closes-1', '/2 new run:2']);
  assert.equal(closed(), 1);
});

test('A request that reads closes nothing and waits for nothing.', async () => {
  const { call, got, closed } = target();
  for (const method of ['GET', 'HEAD']) await call(write('1', method));
  assert.deepEqual(got, ['/1 new run:1', '/1 new run:1']);
  assert.equal(closed(), 0);
});

test('A header holds a scope as it is where its characters allow that, and else URL-encoded.', () => {
  for (const scope of ['/locks/a', '!~', '%2F']) assert.equal(encodeHeader(scope), scope);
  for (const scope of ['', 'ö', 'öa', 'aö', 'a b', '\u007f'])
    assert.equal(encodeHeader(scope), encodeURIComponent(scope));
});
