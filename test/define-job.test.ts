import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { basic, cursorPages, defineJob } from '../lib/job.ts';

const record = v.object({ id: v.union([v.string(), v.number()]), at: v.optional(v.any()) });
const list = cursorPages({ path: '/items', records: 'items', next: 'next' });
const right = {
  record,
  id: (item: v.InferOutput<typeof record>) => item.id,
  source: { list },
  target: { write: () => ({ method: 'PUT', path: '/' }) as const },
};

/** The JobError of a job in plain JavaScript. */
function faultOf(job: unknown): string {
  try {
    defineJob(job as never);
  } catch (error) {
    assert.deepEqual([(error as Error).name, (error as { code?: string }).code], ['JobError', 'JOB']);
    return (error as Error).message;
  }
  return assert.fail('the job should be refused');
}

test('A record, its id, a list and a write are enough.', () => {
  const job = defineJob(right);
  assert.equal(job.updatedAt, undefined);
  assert.equal(job.source.list, list);
});

test('Everything that is missing, unknown or of the wrong kind is named in one error.', () => {
  assert.equal(faultOf({}), 'record is missing; id is missing; source is missing; target is missing');
  for (const job of [undefined, null, 'job', 5]) assert.match(faultOf(job), /^it is no object/);
  for (const [change, message] of [
    [{ id: undefined }, 'id is missing'],
    [{ id: 'id' }, 'id must be a function'],
    [{ record: v.parse }, 'record must be a schema'],
    [{ settings: {} }, 'settings must be a schema'],
    [{ secret: {} }, 'secret must be a schema'],
    [{ name: 'items' }, 'name is not a known key'],
    [{ source: {} }, 'source.list is missing'],
    [{ source: { list: [] } }, 'source.list must be a function'],
    [{ source: { list, one: '/x' } }, 'source.one must be a function'],
    [{ source: { list, oneRecord: 5 } }, 'source.oneRecord must be a selector'],
    [{ source: { list, autorization: () => '' } }, 'source.autorization is not a known key'],
    [{ source: { list, auth: basic('a', 'b') } }, 'source.auth must be a function'],
    [{ source: null }, 'source must be a object'],
    [{ target: {} }, 'target.write, target.writeMany or target.push is missing'],
    [{ target: { ...right.target, push: async () => {} } }, 'target.write and target.push exclude each other'],
    [{ target: { request: () => {} } }, 'target.request is not a known key'],
  ] as const)
    assert.equal(faultOf({ ...right, ...change }), message);
  assert.equal(faultOf({ ...right, id: 1, extra: 2 }), 'id must be a function; extra is not a known key');
});

test('Two authorizations for one server are refused.', () => {
  const auth = () => basic('a', 'b');
  for (const name of ['Authorization', 'authorization'])
    assert.equal(
      faultOf({ ...right, source: { list, auth, headers: { [name]: 'x' } } }),
      'source.auth and source.headers.authorization are two authorizations: leave one out',
    );
  defineJob({ ...right, source: { list, headers: { authorization: 'x' } } });
});

test('The parts of a target that write, remove and list have to go together.', () => {
  const { write } = right.target;
  const many = { max: 500, request: () => ({ method: 'POST', path: '/' }) };
  const [remove, existing] = [() => ({ method: 'DELETE', path: '/' }), () => ({ id: 1, body: {} })];
  for (const [change, message] of [
    [{ target: { write, writeMany: many } }, 'target.write and target.writeMany exclude each other'],
    [{ target: { writeMany: { ...many, max: 0 } } }, 'target.writeMany.max must be a whole number above 0'],
    [{ target: { writeMany: { max: 5 } } }, 'target.writeMany.request is missing'],
    [{ target: { writeMany: { ...many, size: 5 } } }, 'target.writeMany.size is not a known key'],
    [{ target: { writeMany: 500 } }, 'target.writeMany must be a object'],
    [{ target: { write, list } }, 'target.list needs target.existing'],
    [{ target: { write, existing } }, 'target.existing needs target.list'],
    [{ deleted: () => true }, 'deleted needs target.remove'],
  ] as const)
    assert.equal(faultOf({ ...right, ...change }), message);
  defineJob({ ...right, deleted: () => true, target: { writeMany: many, remove, list, existing } } as never);
});

test('An id may be a number, which is written in decimal; one that JavaScript has altered is none.', () => {
  const { id } = defineJob(right);
  for (const [given, text] of [
    ['a', 'a'],
    [7, '7'],
    [0, '0'],
    [-1, '-1'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
  ] as const)
    assert.equal(id({ id: given, at: undefined }), text);
  for (const given of [1.5, 1e21, Number.NaN, 9007199254740992])
    assert.throws(() => id({ id: given, at: undefined }), TypeError);
});

test('A time may be a Date, and is text from then on; a Date that is no time is no time.', () => {
  const { updatedAt } = defineJob({ ...right, updatedAt: (item) => item.at as string | Date });
  assert.equal(updatedAt?.({ id: 1, at: new Date(Date.UTC(2026, 0, 1)) }), '2026-01-01T00:00:00.000Z');
  assert.equal(updatedAt?.({ id: 1, at: '2026-01-01T01:00:00+01:00' }), '2026-01-01T01:00:00+01:00');
  assert.equal(updatedAt?.({ id: 1, at: new Date('no time') }), '');
});

// What follows is checked by the compiler: `npm run check` fails where one of these is no error.
defineJob({
  ...right,
  settings: v.object({ SITE: v.string() }),
  secret: v.object({ key: v.string() }),
  source: {
    list,
    // @ts-expect-error: the secret has no such part
    auth: ({ secret }) => basic(secret.keys, ''),
    // @ts-expect-error: nor have the settings
    one: (_, { settings }) => settings.SIDE,
  },
  target: {
    auth: ({ secret, settings }) => basic(secret.key, settings.SITE),
    // @ts-expect-error: the record has no such field
    write: (item) => ({ method: 'PUT', path: item.name }),
  },
});
