import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, bodyOf, serve } from '../../infra/local/serve.ts';
import { TargetError } from '../../lib/errors.ts';
import type { TargetJob } from '../../lib/job-types.ts';
import { openCredentials } from '../../lib/settings/secrets.ts';
import { openTarget } from '../../lib/write/target.ts';
import { secretStoreOf } from '../support/pipeline.ts';

interface Item {
  id: string;
  name: string;
}

/** A target that gives these answers one after the other, the last one for good. */
async function open(answers: [status: number, body: unknown][], job: Partial<TargetJob<Item>>) {
  await using stack = new AsyncDisposableStack();
  const arrivals: { method: string; url: string; headers: Record<string, unknown>; body: string }[] = [];
  const served = stack.use(
    await serve(async (request, response) => {
      const { method = '', url = '', headers } = request;
      arrivals.push({ method, url, headers, body: await bodyOf(request) });
      const [status, body] = answers[Math.min(arrivals.length, answers.length) - 1]!;
      answer(response, status, body);
    }),
  );
  const { signal } = new AbortController();
  const credentials = await openCredentials(secretStoreOf(1), signal);
  const guard = { check() {}, closing: signal, closesInMs: () => 60_000, signal };
  const fence = { token: '42', scope: '/lock', refused: async () => new Error('fenced') };
  const write: TargetJob<Item>['write'] = ({ id, ...body }) => ({ method: 'PUT', path: `/items/${id}`, body });
  const target = stack.use(
    openTarget<Item>(
      { write, ...job },
      { id: ({ id }) => id, passName: () => 'run-1', settings: { SITE: 'shop' } },
      fence,
      {
        ...{ url: served.url, timeoutMs: 60_000, concurrency: 5, perSecond: undefined, credentials, guard },
      },
    ),
  );
  const owned = stack.move();
  return {
    ...{ arrivals, [Symbol.asyncDispose]: () => owned.disposeAsync() },
    write: (item: Partial<Item> = {}) => target.prepare({ id: 'a', name: 'Model', ...item }).write!(),
  };
}

const isConflict: TargetJob<Item>['check'] = ({ status }) => (status === 409 ? 'written' : undefined);

test('A 409 that the check calls written is written.', async () => {
  await using target = await open([[409, { error: 'exists' }]], { check: isConflict });
  await target.write();
  assert.equal(target.arrivals.length, 1);
});

test('A 200 that the check refuses fails the record, with what the target says and without a part of the record.', async () => {
  const check: TargetJob<Item>['check'] = (seen) => (Object(seen.json()).userErrors ? 'refused' : undefined);
  await using target = await open([[200, { userErrors: ['"Model" is taken by token-1'] }]], { check });
  await assert.rejects(target.write(), (error) => {
    assert.ok(error instanceof TargetError);
    const said =
      'the target answered 200: {"userErrors":["\\"…\\" is taken by …"]} (the check of the job says: refused)';
    assert.deepEqual([error.message, error.refused, error.status], [said, true, 200]);
    return true;
  });
});

test('What the check wants to try again is tried again, and is no refusal in the end.', async () => {
  const check: TargetJob<Item>['check'] = ({ text }) => (text().includes('busy') ? 'retry' : undefined);
  await using target = await open(
    [
      [200, 'busy'],
      [400, 'busy'],
      [200, 'done'],
    ],
    { check },
  );
  await target.write();
  assert.equal(target.arrivals.length, 3);
  await using busy = await open([[200, 'busy']], { check });
  await assert.rejects(busy.write(), (error) => error instanceof TargetError && !error.refused);
  assert.equal(busy.arrivals.length, 5);
});

test('A 412 means a later run, unless the check refuses it; and the check may say so of another answer.', async () => {
  await using plain = await open([[412, {}]], {});
  await assert.rejects(plain.write(), { message: 'fenced' });
  await using ifMatch = await open([[412, { error: 'version' }]], { check: () => 'refused' });
  await assert.rejects(ifMatch.write(), { name: 'TargetError', message: /^the target answered 412: .*version/ });
  await using stale = await open([[409, { error: 'stale token' }]], { check: () => 'fenced' });
  await assert.rejects(stale.write(), { message: 'fenced' });
});

test('A check that throws at a 2xx refuses the record, and elsewhere leaves it to the status.', async () => {
  const check: TargetJob<Item>['check'] = ({ status }) => {
    if (status === 502) throw new SyntaxError('HTML');
    return 'written';
  };
  await using html = await open(
    [
      [502, '<html>'],
      [200, {}],
    ],
    { check },
  );
  await html.write();
  assert.equal(html.arrivals.length, 2);
  const choking = () => {
    throw new SyntaxError('hunter2');
  };
  await using target = await open([[200, {}]], { check: choking });
  await assert.rejects(target.write(), {
    name: 'TargetError',
    message: 'check of the job threw SyntaxError at an answer 200',
    refused: true,
  });
});

test('A refusal says what the target said, without a part of the record or of the secret.', async () => {
  await using target = await open([[422, { field: 'name', given: 'Größe', id: 'a', by: 'token-1' }]], {});
  await assert.rejects(target.write({ name: 'Größe' }), {
    message: 'the target answered 422: {"field":"name","given":"…","id":"…","by":"…"}',
  });
});

test('A write may have a query, headers, and a body that is text, bytes or a form.', async () => {
  for (const [body, type, sent] of [
    ['<item/>', 'application/xml', '<item/>'],
    [Buffer.from('bytes'), 'application/octet-stream', 'bytes'],
    [new URLSearchParams({ name: 'a b' }), 'application/x-www-form-urlencoded;charset=UTF-8', 'name=a+b'],
    [undefined, undefined, ''],
  ] as const) {
    await using target = await open([[200, {}]], {
      headers: { 'X-Site': 'default', 'X-Api': '3' },
      write: ({ id }, { settings, fencingToken }) => ({
        ...{ method: 'POST', path: '/items?a=1', query: { id, none: undefined, on: true }, body },
        headers: {
          'x-site': (settings as { SITE: string }).SITE,
          'X-Token': fencingToken,
          ...(body === '<item/>' && { 'Content-Type': 'application/xml' }),
        },
      }),
    });
    await target.write();
    const [{ method, url, headers, body: arrived }] = target.arrivals as [(typeof target.arrivals)[0]];
    assert.deepEqual([method, url, arrived], ['POST', '/items?a=1&id=a&on=true', sent]);
    assert.deepEqual(
      [headers['x-site'], headers['x-api'], headers['x-token'], headers['x-fencing-token'], headers['content-type']],
      ['shop', '3', '42', '42', type],
    );
  }
});

test('A write without a method is refused, and the job’s headers do not replace those of the fence.', async () => {
  await using target = await open([[200, {}]], { write: () => ({ path: '/x' }) });
  await assert.rejects(target.write(), {
    name: 'TargetError',
    message: 'the job could not make a request of the record',
  });
  await using fenced = await open([[200, {}]], {
    headers: { 'X-Fencing-Token': '9' },
    write: () => ({ method: 'PUT', path: '/x', headers: { 'x-fencing-token': '9', 'Idempotency-Key': '9' }, body: {} }),
  });
  await fenced.write();
  assert.equal(fenced.arrivals[0]?.headers['x-fencing-token'], '42');
  assert.match(String(fenced.arrivals[0]?.headers['idempotency-key']), /^run-1%3Aa%3A/);
});
