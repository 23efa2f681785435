import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LocalEtcd, startEtcd } from '../../infra/local/etcd/etcd.ts';
import { answer } from '../../infra/local/serve.ts';
import { parseTick } from '../../lib/event.ts';
import { run } from '../../lib/run/run.ts';
import { type Certificate, createAuthority } from '../support/certificates.ts';
import { leftBehind, NOTHING } from '../support/lock.ts';
import { serveTls } from '../support/tls-server.ts';
import { startWorld } from '../support/world.ts';
import ledger from './jobs/ledger.ts';

// Both sides have a private authority, and ask for a certificate of it.

let etcd: LocalEtcd;
before(async () => {
  etcd = await startEtcd();
});
after(() => etcd[Symbol.asyncDispose]());

const [bank, books] = [createAuthority('a bank'), createAuthority('an accountant')];
const asked = (ca: typeof bank) => ({ ...ca.issue('server'), ca: ca.cert, requestCert: true });
const [ours, theirs] = [bank.issue('reader'), books.issue('writer')];
const { signal } = new AbortController();

async function startBank() {
  await using stack = new AsyncDisposableStack();
  const booking = (number: number) => ({ booking: number, cents: 100, bookedAt: '2026-01-01T00:00:00Z' });
  const source = stack.use(
    await serveTls(asked(bank), ({ url }, response) => {
      const isLast = url === '/bookings?after=1';
      answer(response, 200, { bookings: [booking(isLast ? 2 : 1)], links: isLast ? {} : { after: 1 } });
    }),
  );
  const entries: string[] = [];
  const target = stack.use(
    await serveTls(asked(books), ({ method, url }, response) => {
      entries.push(`${method} ${url}`);
      answer(response, 200, {});
    }),
  );
  const world = stack.use(
    await startWorld({
      ...{ endpoints: etcd.endpoints, records: [] },
      env: { SOURCE_URL: source.url, TARGET_URL: target.url, FAILURES_BEFORE_STOP: '2' },
    }),
  );
  const owned = stack.move();
  return {
    ...{ source, target, entries, lockKey: world.env.LOCK_KEY! },
    /** Runs a tick with these parts of the secret. */
    tick(tls: { source: Partial<Certificate>; target: Partial<Certificate> }) {
      const secret = { source: { ca: bank.cert, ...tls.source }, target: { ca: books.cert, ...tls.target } };
      const own = { source: world.source.credentials, target: { token: world.target.token } };
      world.secrets.put('world', { ...own, tls: secret });
      return run({ ...ledger, name: 'ledger' }, parseTick({}), world.invocation(60_000, signal));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

test('A bank and a ledger that ask for a certificate, each of an authority of its own: both get ours.', async () => {
  await using world = await startBank();
  const { status, report } = await world.tick({ source: ours, target: theirs });
  assert.deepEqual([status, report.written], ['completed', 2]);
  assert.deepEqual(world.source.clients, ['reader', 'reader']);
  assert.deepEqual(world.target.clients, ['writer', 'writer']);
  assert.deepEqual(world.entries.sort(), ['PUT /entries/1', 'PUT /entries/2']);
});

test('Without the certificate for the source, nothing is read and nothing written, and the error says which side is at fault.', async () => {
  await using world = await startBank();
  for (const source of [{}, books.issue('reader')]) {
    const failing = world.tick({ source, target: theirs });
    await assert.rejects(failing, { name: 'SourceError', message: /^GET \/bookings at the source: / });
  }
  assert.deepEqual([world.source.clients, world.target.clients], [[], []]);
  assert.deepEqual(await leftBehind(etcd, world.lockKey), NOTHING);
});

test('Without the certificate for the target, nothing is written, and the error says which side is at fault.', async () => {
  await using world = await startBank();
  for (const target of [{}, bank.issue('writer')]) {
    await assert.rejects(world.tick({ source: ours, target }), {
      name: 'TargetDownError',
      message: /^2 records in a row failed/,
    });
  }
  assert.deepEqual(world.target.clients, []);
  assert.deepEqual(await leftBehind(etcd, world.lockKey), NOTHING);
});

test('A certificate without its key, or with that of another one, is a SecretError before anything is locked or read.', async () => {
  await using world = await startBank();
  for (const [source, fault] of [
    [{ cert: ours.cert }, 'tls.source cert and key come together'],
    [{ cert: ours.cert, key: theirs.key }, 'tls.source cert and key cannot be used together'],
  ] as const) {
    const failing = world.tick({ source, target: theirs });
    await assert.rejects(failing, { name: 'SecretError', message: new RegExp(`: ${fault}$`) });
  }
  assert.deepEqual([world.source.clients, world.target.clients], [[], []]);
  assert.deepEqual(await leftBehind(etcd, world.lockKey), NOTHING);
});
