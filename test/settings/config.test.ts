import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SettingsError } from '../../lib/errors.ts';
import { readSettings } from '../../lib/settings/config.ts';
import { job } from '../support/job.ts';

/** What has no default. */
const required = {
  STAGE: 'prod',
  SECRET_ID: 'solotick/prod',
  SOURCE_URL: 'https://source.example/api/',
  TARGET_URL: 'https://target.example',
  TARGET_REGION_ID: 'eu',
  ETCD_ENDPOINTS: 'https://etcd-1.example:2379, https://etcd-2.example:2379/',
};

function faultOf(env: Record<string, string>): string {
  try {
    readSettings(env, job);
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    assert.deepEqual([error.name, error.code], ['SettingsError', 'SETTINGS']);
    return error.message;
  }
  return assert.fail('the settings should be refused');
}

test('What is required is enough: everything else has its documented default.', () => {
  assert.partialDeepStrictEqual(readSettings(required, job), {
    job: 'models',
    stage: 'prod',
    own: { TARGET_REGION_ID: 'eu' },
    secretId: 'solotick/prod',
    source: { url: 'https://source.example/api', timeoutMs: 10_000 },
    target: { url: 'https://target.example', timeoutMs: 10_000 },
    etcdEndpoints: ['https://etcd-1.example:2379', 'https://etcd-2.example:2379'],
    lockKey: '/solotick/prod/models/lock',
    lockTtlSeconds: 15,
    statePrefix: '/solotick/prod/models/state/',
    shards: 1,
    concurrency: 50,
    deadlineReserveSeconds: 10,
    startingDeadlineSeconds: undefined,
    minIntervalSeconds: undefined,
    skipsBeforeWarning: 3,
    failuresBeforeStop: 100,
    initialSince: undefined,
    fullEveryHours: undefined,
    watermarkOverlapSeconds: 60,
    maxRemovalsPercent: 10,
  });
});

test('The keys of the lock and of the state may be given, and then nothing of them is derived.', () => {
  const env = { ...required, LOCK_KEY: '/go/scheduler', STATE_PREFIX: '/elsewhere/' };
  const { lockKey, statePrefix } = readSettings(env, job);
  assert.deepEqual([lockKey, statePrefix], ['/go/scheduler', '/elsewhere/']);
});

test('Everything that is missing is named in one error, and an empty variable counts as missing.', () => {
  const message = faultOf({ STAGE: '  ', TARGET_REGION_ID: '' });
  assert.match(message, /^6 setting\(s\) missing or malformed: /);
  for (const name of Object.keys(required)) assert.match(message, new RegExp(`\\b${name} is missing`));
});

test('Everything that is missing or malformed is named in one error, each with what it must be.', () => {
  const { SOURCE_URL: _, ...rest } = required;
  const message = faultOf({ ...rest, CONCURRENCY: '0', LOCK_TTL_SECONDS: '4', LOCK_KEY: '/lock/', STATE_PREFIX: '/s' });
  assert.match(message, /^5 setting\(s\)/);
  assert.match(faultOf({ ...required, TARGET_REGION_ID: '..' }), /TARGET_REGION_ID must not be "\." or "\.\."/);
  assert.match(message, /SOURCE_URL is missing/);
  assert.match(message, /CONCURRENCY must be a whole number from 1 to 10000/);
  assert.match(message, /LOCK_TTL_SECONDS must be a whole number from 5 to 3600/);
  assert.match(message, /LOCK_KEY must not end with a slash/);
  assert.match(message, /STATE_PREFIX must end with a slash/);
});

for (const [name, values] of Object.entries({
  SOURCE_URL: [
    'source.example',
    'ftp://source.example',
    'https://u:hunter2@source.example',
    'https://hunter2@source.example',
    'https://:hunter2@source.example',
    'https://s.example?key=hunter2',
    'xhttps://source.example',
    'httpsx://source.example',
  ],
  TARGET_URL: ['https://target.example#hunter2', 'http://'],
  ETCD_ENDPOINTS: [
    'etcd:2379',
    'http://a:2379,,http://b:2379',
    'http://a:2379/path',
    'http://u:hunter2@a:2379',
    'http://a:2379//',
    'http:a:2379',
    'http://@a:2379',
    'http://a:2379#',
    'http://a:99999',
    'xhttp://a:2379',
    'http://a:2379/?x',
  ],
  SOURCE_TIMEOUT_MS: ['0', '1.5', '-1', '1e3', 'hunter2', '900001'],
  TARGET_TIMEOUT_MS: ['0x10', 'soon'],
  TARGET_REGION_ID: ['.', '..'],
  LOCK_TTL_SECONDS: ['4', '3601', '15s'],
  CONCURRENCY: ['0', '10001', 'many'],
  DEADLINE_RESERVE_SECONDS: ['0', '601'],
  STARTING_DEADLINE_SECONDS: ['0', 'never'],
  MIN_INTERVAL_SECONDS: ['0', '-5'],
  SHARDS: ['0', '1001'],
  MAX_WRITES_PER_SECOND: ['0', '2147484'],
  MAX_READS_PER_SECOND: ['0', '2147484', '1.5'],
  CONTINUE: ['self ish', 'never'],
  OVERLAP: ['queue', 'true'],
  YIELD: ['tick', 'false'],
  DEAD_LETTER_QUEUE_URL: ['queue', 'ftp://queue'],
  SKIPS_BEFORE_WARNING: ['0', 'all'],
  FAILURES_BEFORE_STOP: ['0', 'all'],
  INITIAL_SINCE: ['yesterday', '2026-01-01', '2026-01-01T00:00:00', '2026-13-01T00:00:00Z'],
  FULL_EVERY_HOURS: ['0', 'daily'],
  MAX_REMOVALS_PERCENT: ['-1', '101', '10%', '2.5'],
  WATERMARK_OVERLAP_SECONDS: ['-1', 'some'],
  LOCK_KEY: ['/lock/'],
  STATE_PREFIX: ['/state'],
})) {
  test(`A malformed ${name} is refused by name, without its value.`, () => {
    for (const value of values) {
      const message = faultOf({ ...required, [name]: value });
      assert.match(message, new RegExp(`^1 setting\\(s\\) missing or malformed: ${name} must `), value);
      assert.doesNotMatch(message, /hunter2/);
    }
  });
}

test('A bound is within its setting.', () => {
  const bounds = {
    ...{ SOURCE_TIMEOUT_MS: '900000', LOCK_TTL_SECONDS: '3600', CONCURRENCY: '10000', SHARDS: '1000' },
    ...{ MAX_WRITES_PER_SECOND: '2147483', WATERMARK_OVERLAP_SECONDS: '0', FULL_EVERY_HOURS: '87600' },
  };
  const { source, lockTtlSeconds, concurrency, shards, ...rest } = readSettings({ ...required, ...bounds }, job);
  assert.deepEqual([source.timeoutMs, lockTtlSeconds, concurrency, shards], [900_000, 3600, 10_000, 1000]);
  assert.deepEqual(
    [rest.maxWritesPerSecond, rest.watermarkOverlapSeconds, rest.fullEveryHours],
    [2_147_483, 0, 87_600],
  );
  for (const percent of ['0', '100'])
    assert.equal(readSettings({ ...required, MAX_REMOVALS_PERCENT: percent }, job).maxRemovalsPercent, Number(percent));
  assert.equal(readSettings({ ...required, LOCK_TTL_SECONDS: ' 5 ' }, job).lockTtlSeconds, 5);
});

test('A tick that found another in its way is lost unless it is to follow, and a backfill makes way unless it is never to.', () => {
  const { follows, yields } = readSettings(required, job);
  assert.deepEqual([follows, yields], [false, true]);
  assert.equal(readSettings({ ...required, OVERLAP: 'follow' }, job).follows, true);
  assert.equal(readSettings({ ...required, YIELD: 'never' }, job).yields, false);
});

test('A partial run is continued by the next tick, or by itself where that is asked for.', () => {
  assert.equal(readSettings(required, job).continue, 'next-tick');
  for (const wanted of ['next-tick', 'self'] as const)
    assert.equal(readSettings({ ...required, CONTINUE: wanted }, job).continue, wanted);
  assert.equal(
    faultOf({ ...required, CONTINUE: 'never' }),
    '1 setting(s) missing or malformed: CONTINUE must be next-tick or self',
  );
});

test('A URL is kept without the slashes at its end, and one over plain HTTP is taken.', () => {
  const given = { SOURCE_URL: ' http://source.example/api// ', DEAD_LETTER_QUEUE_URL: 'http://queue/1/q' };
  const { source, deadLetterQueueUrl } = readSettings({ ...required, ...given }, job);
  assert.deepEqual([source.url, deadLetterQueueUrl], ['http://source.example/api', 'http://queue/1/q']);
});

test('A key that does not begin below the lock or among the state is taken.', () => {
  for (const [LOCK_KEY, STATE_PREFIX] of [
    ['/a/lock', '/a/lock-state/'],
    ['/a/lock', '/a/lock.shardsx/'],
    ['/a/state/lock', '/a/state/'],
    ['/a/state/backfills-lock', '/a/state/'],
  ] as const)
    assert.equal(readSettings({ ...required, LOCK_KEY, STATE_PREFIX }, job).statePrefix, STATE_PREFIX);
});

test('A time is stored in UTC, whatever zone it was written in.', () => {
  const { initialSince } = readSettings({ ...required, INITIAL_SINCE: '2026-01-01T01:00:00+01:00' }, job);
  assert.equal(initialSince, '2026-01-01T00:00:00.000Z');
});

test('An endpoint is known by its scheme, host and port, whichever way they are written.', () => {
  const given = 'HTTP://a:1/, http://b, https://b.example/, https://[::1]:2379';
  const { etcdEndpoints } = readSettings({ ...required, ETCD_ENDPOINTS: given }, job);
  assert.deepEqual(etcdEndpoints, ['http://a:1', 'http://b:80', 'https://b.example:443', 'https://[::1]:2379']);
});

test('A lock among the state is refused, because the state would hold it for good.', () => {
  for (const part of ['backfills', 'backfill-ids', 'cancelled', 'shards', 'shards/0-of-2/lock']) {
    const values = { ...required, LOCK_KEY: `/a/state/${part}`, STATE_PREFIX: '/a/state/' };
    assert.throws(() => readSettings(values, job), { name: 'SettingsError', message: /must not lie among/ });
  }
});

test('A state below the lock is refused, because its keys would hold the lock for good.', () => {
  for (const statePrefix of ['/a/lock/state/', '/a/lock.shards/state/']) {
    assert.throws(() => readSettings({ ...required, LOCK_KEY: '/a/lock', STATE_PREFIX: statePrefix }, job), {
      name: 'SettingsError',
      message: /STATE_PREFIX .* must not lie below LOCK_KEY/,
    });
  }
});
