import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBackfill, parseBackfillEvent } from '../lib/backfill-event.ts';
import { parseControl, parseTick } from '../lib/event.ts';

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

test('A tick, a continuation and a backfill may be of one shard, whose index lies below their number.', () => {
  const shard = { index: 1, of: 2 };
  assert.deepEqual(parseTick({ shard }), { kind: 'tick', shard });
  assert.deepEqual(parseBackfill({ shard }).shard, shard);
  const fault = (shard: unknown) => {
    try {
      parseTick({ shard });
    } catch (error) {
      return (error as Error).message.replace('the tick event was refused: ', '');
    }
    return undefined;
  };
  assert.equal(fault({ index: 0, of: 1 }), undefined);
  for (const wrong of [
    { index: 2, of: 2 },
    { index: 3, of: 2 },
    { index: 0, of: 0 },
  ])
    assert.equal(fault(wrong), 'shard: index must be below of');
  assert.match(fault({ index: -1, of: 2 }) ?? '', /^shard\.index: /);
  assert.match(fault({ index: 0.5, of: 2 }) ?? '', /^shard\.index: /);
  assert.match(fault({ index: 0, of: '2' }) ?? '', /^shard\.of: /);
  assert.equal(fault({ index: 0 }), 'shard.of is missing');
  assert.equal(fault({ ...shard, shards: 2 }), 'unknown key shard.shards');
});

test('A continuation is a tick that names the first run of its chain and the number of runs since.', () => {
  const event = { kind: 'continue', root: 'run-1', hop: 1 };
  const tick = { kind: 'tick', shard: undefined, continues: { root: 'run-1', hop: 1 } };
  assert.deepEqual(parseTick(event), tick);
  const shard = { index: 0, of: 2 };
  assert.deepEqual(parseTick({ ...event, shard }), { ...tick, shard });
  for (const [what, message] of [
    [{ root: '' }, /^the continue event was refused: root: /],
    [{ hop: 0 }, /^the continue event was refused: hop: /],
    [{ hop: 1.5 }, /^the continue event was refused: hop: /],
    [{ scheduledTime: '2026-11-24T12:15:00Z' }, /^the continue event was refused: unknown key scheduledTime$/],
  ] as const)
    assert.throws(() => parseTick({ ...event, ...what }), refused(message));
  assert.throws(() => parseTick({ kind: 'continue', hop: 1 }), refused(/: root is missing$/));
});

test('An event is refused by the name of what it should have been.', () => {
  assert.throws(() => parseTick({ nope: 1 }), refused(/^the tick event was refused: unknown key nope$/));
  assert.throws(() => parseTick({ ...scheduled, time: 7 }), refused(/^the tick event was refused: time: /));
  assert.throws(() => parseBackfill({ nope: 1 }), refused(/^the backfill event was refused: unknown key nope$/));
  assert.throws(() => parseControl({ action: 'status', nope: 1 }), refused(/^the control event was refused: unknown/));
});

test('A value with several faults is refused for the first of them only.', () => {
  assert.throws(
    () => parseTick({ scheduledTime: 'now' }),
    refused(
      /^the tick event was refused: scheduledTime: must be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z$/,
    ),
  );
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
  assert.throws(
    () => parseControl({}),
    refused(/action: must be "status", "pause", "resume", "reset", "approve-removals" or "cancel-backfill"/),
  );
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
  assert.throws(
    () => parseBackfill({ ids: ['a'], until: '2026-11-02T00:00:00Z' }),
    refused(/ids and a window \(since, until\) exclude each other/),
  );
  assert.throws(() => parseBackfill({ dryRun: true, backfillId: 'b' }), refused(/dryRun and backfillId exclude/));
  const backfillId = `${'b'.repeat(60)}_-Z9`;
  assert.equal(parseBackfill({ backfillId }).backfillId, backfillId);
  assert.equal(parseBackfill({ dryRun: true }).dryRun, true);
  assert.throws(() => parseBackfill({ values: true }), refused(/values belongs to dryRun/));
  assert.equal(parseBackfill({ dryRun: true, values: true }).values, true);
});

test('A value of a wrong type is refused with its path.', () => {
  for (const [event, where] of [
    [{ ids: [] }, 'ids: must name an id'],
    [{ ids: ['a', ''] }, 'ids.1: must not be empty'],
    [{ ids: ['a', '.'] }, 'ids.1: must not be "." or ".."'],
    [{ ids: ['..'] }, 'ids.0: must not be "." or ".."'],
    [{ ids: ['\ud800'] }, 'ids.0: must be well-formed Unicode'],
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
    [{ backfillId: 'lock/..' }, 'backfillId: must be an id from an earlier result'],
    [{ backfillId: '' }, 'backfillId: must be an id from an earlier result'],
    [{ backfillId: 'b'.repeat(65) }, 'backfillId: must be an id from an earlier result'],
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

test('Control shows the status, pauses with a note, resumes and resets, each with its own keys only.', (t) => {
  assert.deepEqual(parseControl({ action: 'resume' }), { action: 'resume' });
  for (const what of ['checkpoint', 'failed', 'watermark'])
    assert.deepEqual(parseControl({ action: 'reset', what }), { action: 'reset', what });
  assert.throws(() => parseControl({ action: 'reset', what: 'everything' }), refused(/what: /));
  t.mock.method(Date, 'now', () => Date.parse('2026-11-24T12:15:00Z'));
  const resetTo = (to: string) => parseControl({ action: 'reset', what: 'watermark', to });
  assert.deepEqual(resetTo('2026-11-24T12:15:00Z'), {
    ...{ action: 'reset', what: 'watermark', to: '2026-11-24T12:15:00.000Z' },
  });
  assert.throws(() => resetTo('2026-11-24T12:15:00.001Z'), refused(/to: must not be in the future/));
  assert.deepEqual(parseControl({ action: 'status' }), { action: 'status' });
  const approve = (upTo?: unknown) => parseControl({ action: 'approve-removals', upTo });
  assert.deepEqual(approve(12), { action: 'approve-removals', upTo: 12 });
  assert.deepEqual(approve(0), { action: 'approve-removals', upTo: 0 });
  for (const upTo of [-1, 1.5, '12', null]) assert.throws(() => approve(upTo), refused(/upTo: /), `${upTo}`);
  assert.throws(() => approve(), refused(/upTo/));
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

test('A backfill that is started detached says its range and its windows; what no chain could copy is refused.', () => {
  const start = (more: object) => parseBackfillEvent({ detach: true, ...more });
  assert.deepEqual(start({ since: '2026-01-01T00:00:00Z', until: '2026-01-03T00:00:00Z', windowSeconds: 86_400 }), {
    ...{ kind: 'backfill', detach: true, windowSeconds: 86_400 },
    ...{ since: '2026-01-01T00:00:00.000Z', until: '2026-01-03T00:00:00.000Z' },
  });
  assert.throws(() => start({ windowSeconds: 60 }), refused(/windowSeconds needs since/));
  assert.throws(
    () => start({ since: '2999-01-01T00:00:00Z', windowSeconds: 60 }),
    refused(/windowSeconds needs an until where since is in the future/),
  );
  const year = { since: '2025-01-01T00:00:00Z', until: '2026-01-01T00:00:00Z' };
  assert.throws(() => start({ ...year, windowSeconds: 60 }), refused(/more than 10000 windows/));
  assert.throws(() => start({ ...year, dryRun: true }), refused(/unknown key dryRun/));
  assert.throws(() => start({ ...year, ids: ['a'] }), refused(/exclude each other/));
  assert.throws(() => parseBackfillEvent({ ...year, detach: false }), refused(/detach/));
});

test('A step of a detached backfill says its backfill, its number and how often it has waited.', () => {
  const step = { kind: 'continue', backfillId: 'may', step: 3 };
  assert.deepEqual(parseBackfillEvent(step), { ...step, waits: 0 });
  assert.throws(() => parseBackfillEvent({ ...step, step: -1 }), refused(/step/));
  assert.throws(() => parseBackfillEvent({ ...step, waits: 1001 }), refused(/has waited 1000 times in vain/));
  assert.throws(() => parseBackfillEvent({ kind: 'continue', step: 1 }), refused(/backfillId is missing/));
});
