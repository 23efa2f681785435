import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { LocalFunction } from '../../infra/local/lambda/function.ts';
import { startInvokeApi } from '../../infra/local/lambda/invoke-api.ts';

test('An asynchronous event whose invocation fails is delivered again, as often as Lambda does, and under its id.', async () => {
  const delivered = new PassThrough({ objectMode: true });
  const error = { errorType: 'Runtime.ExitError', errorMessage: 'killed' };
  const invoke: LocalFunction['invoke'] = async (event, { requestId = 'none' } = {}) => {
    delivered.write({ event, requestId });
    return { error, logs: [], requestId, coldStart: false, durationMs: 1 };
  };
  const fn: LocalFunction = { invoke, drain: async () => undefined, [Symbol.asyncDispose]: async () => undefined };
  await using api = await startInvokeApi({ backfill: { fn, retries: 2 } });
  const response = await fetch(`${api.url}/2015-03-31/functions/backfill/invocations`, {
    ...{ method: 'POST', body: '{"step":1}', headers: { 'x-amz-invocation-type': 'Event' } },
  });
  assert.equal(response.status, 202);
  const signal = AbortSignal.timeout(20_000);
  const seen: { event: unknown; requestId: string }[] = [];
  while (seen.length < 3) {
    const next = delivered.read();
    if (next) seen.push(next);
    else await once(delivered, 'readable', { signal });
  }
  assert.deepEqual(seen[0]!.event, { step: 1 });
  assert.match(seen[0]!.requestId, /^[\da-f-]{36}$/);
  assert.equal(new Set(seen.map(({ requestId }) => requestId)).size, 1);
});

test('A GET is told that a function is invoked by POST, and not that there is none.', async () => {
  const fn: LocalFunction = {
    invoke: () => assert.fail('nothing is invoked'),
    drain: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  await using api = await startInvokeApi({ control: { fn, retries: 2 } });
  const said = async (path: string) => {
    const response = await fetch(`${api.url}${path}`);
    return [response.status, ((await response.json()) as { message: string }).message];
  };
  assert.deepEqual(await said('/2015-03-31/functions/control/invocations'), [405, 'control is invoked by POST']);
  assert.deepEqual(await said('/2015-03-31/functions/other/invocations'), [404, 'there is no function other']);
  assert.deepEqual(await said('/'), [404, 'there is no function in this path']);
});
