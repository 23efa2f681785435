import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBackfill, parseControl, parseTick } from '../lib/event.ts';

const scheduled = {
  version: '0',
  id: '53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa',
  'detail-type': 'Scheduled Event',
  source: 'aws.events',
  account: '123456789012',
  time: '2026-11-24T12:15:00Z',
  region: 'us-east-1',
  resources: ['arn:aws:events:us-east-1:123456789012:rule/my-scheduled-rule'],
  detail: {},
};

const refused = (message: RegExp) => ({ name: 'EventError', code: 'EVENT', message });

test('A tick is our own event, EventBridge’s, or an empty one by hand.', () => {
  const scheduledTime = '2026-11-24T12:15:00.000Z';
  assert.deepEqual(parseTick({}), { kind: 'tick' });
  assert.deepEqual(parseTick({ kind: 'tick' }), { kind: 'tick' });
  assert.deepEqual(parseTick({ kind: 'tick', scheduledTime: '2026-11-24T13:15:00+01:00' }), {
    kind: 'tick',
    scheduledTime,
  });
  assert.deepEqual(parseTick(scheduled), { kind: 'tick', scheduledTime });
  assert.deepEqual(parseTick({ ...scheduled, source: 'aws.scheduler' }), { kind: 'tick', scheduledTime });
});

test('An EventBridge event that is not a scheduled one is refused.', () => {
  assert.throws(() => parseTick({ ...scheduled, source: 'aws.s3' }), refused(/source/));
  assert.throws(() => parseTick({ ...scheduled, 'detail-type': 'Object Created' }), refused(/detail-type/));
  assert.throws(() => parseTick({ ...scheduled, time: 'now' }), refused(/time: must be an ISO 8601 time with a zone/));
});

test('Every function refuses an event that is not an object.', () => {
  for (const parse of [parseTick, parseBackfill, parseControl]) {
    for (const event of [null, 'tick', '', 7, true, [], [{}]]) {
      assert.throws(() => parse(event), refused(/event was refused: /), `${parse.name}(${JSON.stringify(event)})`);
    }
  }
});

test('An unknown key is refused, and the error names it.', () => {
  assert.throws(() => parseTick({ scheduledtime: '2026-11-24T12:15:00Z' }), refused(/unknown key scheduledtime/));
  assert.throws(() => parseBackfill({ form: '2026-11-24T12:15:00Z' }), refused(/unknown key form/));
  assert.throws(() => parseControl({ action: 'status', note: 'why' }), refused(/unknown key note/));
});

test('The event of another function is refused.', () => {
  assert.throws(() => parseTick({ kind: 'backfill' }), refused(/kind/));
  assert.throws(() => parseTick({ action: 'pause' }), refused(/unknown key action/));
  assert.throws(() => parseBackfill({ kind: 'tick' }), refused(/kind/));
  assert.throws(() => parseBackfill(scheduled), refused(/unknown key/));
  assert.throws(() => parseControl({}), refused(/action: must be "status", "pause", "resume" or "reset"/));
});

test('A backfill covers everything, a window or single ids, and sets how long it waits for the lock.', () => {
  const defaults = { kind: 'backfill', waitSeconds: 0, dryRun: false };
  assert.deepEqual(parseBackfill({}), defaults);
  assert.deepEqual(parseBackfill({ since: '2026-11-01T00:00Z' }), { ...defaults, since: '2026-11-01T00:00:00.000Z' });
  assert.deepEqual(parseBackfill({ until: '2026-11-01T00:00:00Z', concurrency: 5 }), {
    ...{ ...defaults, until: '2026-11-01T00:00:00.000Z', concurrency: 5 },
  });
  const ids = ['acme/model-1', '🙂'];
  assert.deepEqual(parseBackfill({ kind: 'backfill', ids, waitSeconds: 900 }), { ...defaults, ids, waitSeconds: 900 });
});

test('A window must begin before it ends, also when its ends are written in different zones.', () => {
  const since = '2026-11-02T00:00:00Z';
  const order = refused(/since must be before until/);
  assert.throws(() => parseBackfill({ since, until: '2026-11-01T00:00:00Z' }), order);
  assert.throws(() => parseBackfill({ since, until: since }), order);
  assert.throws(() => parseBackfill({ since, until: '2026-11-02T01:00:00+02:00' }), order);
  assert.equal(parseBackfill({ since, until: '2026-11-02T00:00:00-01:00' }).until, '2026-11-02T01:00:00.000Z');
});

test('Ids and a window exclude each other, and so do a rehearsal and a continuation.', () => {
  assert.throws(
    () => parseBackfill({ ids: ['a'], since: '2026-11-02T00:00:00Z' }),
    refused(/ids and a window \(since, until\) exclude each other/),
  );
  assert.throws(() => parseBackfill({ dryRun: true, backfillId: 'b' }), refused(/dryRun and backfillId exclude/));
});

test('A value of a wrong type is refused with its path.', () => {
  for (const [event, where] of [
    [{ ids: [] }, 'ids: must name an id'],
    [{ ids: ['a', ''] }, 'ids.1: must not be empty'],
    [{ ids: 'a' }, 'ids: '],
    [{ ids: [1] }, 'ids.0: '],
    [{ since: 1_767_225_600_000 }, 'since: '],
    [{ since: '2026-11-02' }, 'since: must be an ISO 8601 time with a zone'],
    [{ until: '2026-02-30T99:00:00Z' }, 'until: must be a time that exists'],
    [{ until: '2026-02-29T00:00:00Z' }, 'until: must be a time that exists'],
    [{ until: '2026-04-31T12:00:00+02:00' }, 'until: must be a time that exists'],
    [{ until: '2026-01-01T24:00:00Z' }, 'until: must be a time that exists'],
    [{ until: '9999-12-31T23:59:59-05:00' }, 'until: must be a time that exists'],
    [{ waitSeconds: '60' }, 'waitSeconds: '],
    [{ waitSeconds: 1.5 }, 'waitSeconds: must be a whole number of seconds'],
    [{ waitSeconds: 901 }, 'waitSeconds: '],
    [{ concurrency: 0 }, 'concurrency: '],
    [{ dryRun: 'yes' }, 'dryRun: '],
    [{ backfillId: '../lock' }, 'backfillId: must be an id from an earlier result'],
  ] as const) {
    assert.throws(
      () => parseBackfill(event),
      (error: Error) =>
        error.name === 'EventError' && error.message.includes(`the backfill event was refused: ${where}`),
      JSON.stringify(event),
    );
  }
  assert.throws(() => parseTick({ scheduledTime: 12 }), refused(/scheduledTime: /));
  assert.throws(
    () => parseTick({ scheduledTime: '<aws.scheduler.scheduled-time>' }),
    refused(/scheduledTime: must be/),
  );
});

test('One error lists all faults of an event.', () => {
  assert.throws(
    () => parseBackfill({ ids: [], waitSeconds: -1, nope: 1 }),
    refused(/ids: .*; waitSeconds: .*; unknown key nope/),
  );
});

test('Control shows the status, pauses with a note, resumes and resets, each with its own keys only.', () => {
  assert.deepEqual(parseControl({ action: 'status' }), { action: 'status' });
  assert.deepEqual(parseControl({ action: 'pause', note: 'moving' }), { action: 'pause', note: 'moving' });
  assert.deepEqual(parseControl({ action: 'resume' }), { action: 'resume' });
  assert.deepEqual(parseControl({ action: 'reset', what: 'watermark', to: '2026-01-01T00:00:00Z' }), {
    ...{ action: 'reset', what: 'watermark', to: '2026-01-01T00:00:00.000Z' },
  });
  assert.throws(() => parseControl({ action: 'stop' }), refused(/action: must be "status"/));
  assert.throws(() => parseControl({ action: 'pause', note: 'x'.repeat(501) }), refused(/note: /));
  assert.throws(() => parseControl({ action: 'reset' }), refused(/what is missing/));
  assert.throws(
    () => parseControl({ action: 'reset', what: 'watermark', to: '2099-01-01T00:00:00Z' }),
    refused(/to: must not be in the future/),
  );
  assert.throws(
    () => parseControl({ action: 'reset', what: 'failed', to: '2026-01-01T00:00:00Z' }),
    refused(/to belongs to a reset of the watermark/),
  );
});

test('An event whose id, key or kind has a megabyte and more is refused with a message of at most 2,000 bytes that says where.', () => {
  const long = '🙂'.repeat(400_000);
  for (const [parse, event, where] of [
    [parseTick, { kind: long }, /^the tick event was refused: kind: /],
    [parseTick, { [long]: 1 }, /^the tick event was refused: unknown key 🙂/],
    [parseTick, { source: long, 'detail-type': long }, /refused: source: .*; detail-type: /],
    [parseTick, { kind: 'continue', root: long, hop: 1 }, /refused: root: /],
    [parseBackfill, { ids: [`\ud800${long}`], waitSeconds: long, kind: long }, /kind: .*ids\.0: .*waitSeconds: /],
    [parseBackfill, { backfillId: long }, /backfillId: must be an id from an earlier result/],
    [parseControl, { action: long }, /action: must be "status"/],
    [parseControl, { action: 'pause', note: long }, /note: /],
  ] as const) {
    assert.throws(
      () => parse(event),
      (error: Error) => {
        assert.match(error.message, where);
        assert.ok(Buffer.byteLength(error.message) <= 2000, `${Buffer.byteLength(error.message)} bytes`);
        assert.ok(error.message.isWellFormed());
        return error.name === 'EventError';
      },
    );
  }
});

test('A backfill names at most 100,000 ids, and of many malformed ones the message lists the first.', () => {
  assert.equal(parseBackfill({ ids: Array.from({ length: 100_000 }, String) }).ids?.length, 100_000);
  assert.throws(() => parseBackfill({ ids: Array(100_001).fill('') }), refused(/ids: must name at most 100000 ids$/));
  assert.throws(() => parseBackfill({ ids: Array(30).fill('') }), refused(/ids\.19: must not be empty; and 10 more$/));
});
