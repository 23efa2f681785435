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
