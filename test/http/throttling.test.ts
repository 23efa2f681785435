import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTransientAnswer, retryAfterMs, spentForMs, throttlingOf } from '../../lib/http/throttling.ts';

const nowMs = Date.parse('2026-01-01T00:00:00Z');
const date = new Date(nowMs).toUTCString();

/** For how long an answer of these headers, sent at `nowMs`, wants to be left alone. */
const pauseOf = (headers: Record<string, string | string[]>, status = 429) =>
  throttlingOf({ status, headers: { date, ...headers } }).pauseMs;

test('Retry-After is read as seconds or as a date; anything else is ignored.', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  assert.equal(retryAfterMs('0', now), 0);
  assert.equal(retryAfterMs(' 120 ', now), 120_000);
  assert.equal(retryAfterMs('Thu, 01 Jan 2026 00:00:05 GMT', now), 5000);
  assert.equal(retryAfterMs('Wed, 31 Dec 2025 23:00:00 GMT', now), 0);
  // Some servers send a fraction, and a proxy may add a header of its own.
  assert.equal(retryAfterMs('1.5', now), 1500);
  assert.equal(retryAfterMs('1.25', now), 1250);
  assert.equal(retryAfterMs(' Thu, 01 Jan 2026 00:00:05 GMT', now), 5000);
  assert.equal(retryAfterMs(['1', '2'], now), 1000);
  const dates = ['Thu, soon', 'by Thu, 01 Jan 2026 00:00:05 GMT', 'xThu, 01 Jan 2026 00:00:05 GMT'];
  for (const header of [undefined, '', 'soon', '1.', '.5', '-1', 'in 5', [], ...dates])
    assert.equal(retryAfterMs(header, now), undefined);
});

test('Each of the three forms of a date in HTTP is one in GMT, wherever this machine is.', () => {
  const { TZ } = process.env;
  try {
    for (process.env.TZ of ['America/New_York', 'Asia/Tokyo', 'UTC'])
      for (const header of [
        'Mon, 02 Mar 2026 10:00:05 GMT',
        'Monday, 02-Mar-26 10:00:05 GMT',
        'Mon Mar  2 10:00:05 2026',
      ])
        assert.equal(retryAfterMs(header, Date.UTC(2026, 2, 2, 10)), 5000, `${process.env.TZ}: ${header}`);
  } finally {
    if (TZ === undefined) delete process.env.TZ;
    else process.env.TZ = TZ;
  }
});

test('A reset is read as seconds from now, as seconds or milliseconds since 1970, or as a date.', () => {
  const epochSeconds = nowMs / 1000 + 7;
  const forms = ['7', ' 7 ', '7.0', `${epochSeconds}`, `${epochSeconds}.0`, `${epochSeconds * 1000}`];
  for (const reset of [...forms, '2026-01-01T00:00:07Z', 'Thu, 01 Jan 2026 00:00:07 GMT']) {
    for (const name of ['ratelimit-reset', 'x-ratelimit-reset', 'x-rate-limit-reset'])
      assert.equal(pauseOf({ [name]: reset }), 7000, `${name}: ${reset}`);
  }
  assert.equal(pauseOf({ 'x-ratelimit-reset': '7.25' }), 7250);
  // In the past: there is nothing to wait for.
  const past = ['0', '-5', String(nowMs / 1000 - 100), String(nowMs - 100), '2025-12-31T23:59:59Z'];
  for (const reset of past) assert.equal(pauseOf({ 'x-ratelimit-reset': reset }), 0);
  // The bounds of the forms.
  assert.equal(pauseOf({ 'x-ratelimit-reset': '999999999' }), 999_999_999_000);
  assert.equal(pauseOf({ 'x-ratelimit-reset': '1000000000' }), 0);
  assert.equal(pauseOf({ 'x-ratelimit-reset': '99999999999' }), 99_999_999_999_000 - nowMs);
  assert.equal(pauseOf({ 'x-ratelimit-reset': '100000000000' }), 0);
  for (const reset of ['', 'soon', 'in 6', '6m0s', 'NaN', '1e3', '0x10', '+002026-01-01T00:00:07Z'])
    assert.equal(pauseOf({ 'x-ratelimit-reset': reset }), undefined, reset);
});

test('RateLimit is read in the forms of its drafts; what counts is the quota that is used up.', () => {
  const forms: Record<string, number | undefined> = {
    '"default";r=0;t=9': 9000,
    'default;t=9;r=0': 9000,
    '"a;r=5,b";r=0;t=9': 9000,
    '"burst";r=0;t=3, "hour";r=0;t=9, "day";r=50;t=8000': 9000,
    'limit=100, remaining=0, reset=9': 9000,
    'limit=100, remaining=1, reset=9': undefined,
    'remaining = 0, reset = 9': 9000,
    'remaining = 1, reset = 9': undefined,
    'r=0;t=90': 90_000,
    't=9;r=0': 9000,
    '"a;r=0;t=5";r=1;t=9': undefined,
    'r=01;t=9': undefined,
    '"a;\\";r=5,";r=0;t=9': 9000,
    '"default";r=1;t=9': undefined,
    '"default";r=0': undefined,
    '"default"': undefined,
    '': undefined,
    ';;,,==r=t=': undefined,
  };
  for (const [ratelimit, expected] of Object.entries(forms)) assert.equal(pauseOf({ ratelimit }), expected, ratelimit);
  assert.equal(pauseOf({ ratelimit: ['"burst";r=1;t=3', '"day";r=0;t=9'] }), 9000);
});

test('Retry-After comes first, and a quota that is not used up has nothing to do with the refusal.', () => {
  assert.equal(pauseOf({ 'retry-after': '2', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '60' }), 2000);
  assert.equal(pauseOf({ 'x-ratelimit-remaining': '4000', 'x-ratelimit-reset': '1800' }), undefined);
  assert.equal(pauseOf({ 'x-ratelimit-remaining': '0', 'ratelimit-reset': '4' }), 4000);
  for (const status of [500, 502, 408])
    assert.equal(pauseOf({ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '60' }, status), undefined);
  for (const status of [400, 502]) assert.equal(pauseOf({ 'retry-after': '3' }, status), 3000);
  for (const status of [200, 399]) assert.equal(pauseOf({ 'retry-after': '3' }, status), undefined);
});

test('A 403 throttles only if it says so; a 503 may also mean that the server is down.', () => {
  const throttles = (status: number, headers: Record<string, string>) => throttlingOf({ status, headers }).throttles;
  for (const status of [403, 503]) {
    assert.equal(throttles(status, {}), false);
    assert.equal(throttles(status, { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': '9' }), false);
    const signs = [{ 'retry-after': '1' }, { 'retry-after': 'soon' }, { 'x-ratelimit-remaining': '0' }];
    for (const headers of [...signs, { 'ratelimit-remaining': '0' }, { ratelimit: '"a";r=0' }])
      assert.equal(throttles(status, headers), true, `${status} ${Object.keys(headers)}`);
  }
  const twice = { 'x-ratelimit-remaining': ['0', '0'], 'x-ratelimit-reset': ['9', '9'] };
  assert.deepEqual(throttlingOf({ status: 403, headers: twice }), { throttles: true, pauseMs: 9000 });
  assert.equal(throttles(429, {}), true);
  for (const status of [200, 301, 400, 404, 422, 500])
    assert.equal(throttles(status, { 'retry-after': '1', 'x-ratelimit-remaining': '0' }), false);
  assert.equal(isTransientAnswer({ status: 403, headers: {} }), false);
  assert.equal(isTransientAnswer({ status: 403, headers: { 'x-ratelimit-remaining': '0' } }), true);
});

test('Without a Date that can be read, our own clock counts.', () => {
  for (const headers of [{}, { date: 'today' }]) {
    const pauseMs = throttlingOf({
      status: 429,
      headers: { ...headers, 'retry-after': new Date(Date.now() + 100_000).toUTCString() },
    }).pauseMs;
    assert.ok(pauseMs !== undefined && pauseMs > 60_000 && pauseMs <= 100_000, `${pauseMs}`);
  }
});

test('A quota that an answer used up is spent until its reset; one without a reset, or without a limit, never is.', () => {
  const spentBy = (headers: Record<string, string>, status = 200) =>
    spentForMs({ status, headers: { date, ...headers } });
  const inSeven = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(nowMs / 1000 + 7) };
  for (const status of [200, 204, 304, 404, 422, 500]) assert.equal(spentBy(inSeven, status), 7000);
  assert.equal(spentBy({ ...inSeven, 'x-ratelimit-limit': '10' }), 7000);
  assert.equal(spentBy({ 'ratelimit-remaining': '0', 'ratelimit-reset': '7' }), 7000);
  assert.equal(spentBy({ ratelimit: '"burst";r=0;t=1, "day";r=90;t=3600' }), 1000);
  const plenty = { 'ratelimit-remaining': '5', 'x-ratelimit-remaining': '5', 'x-rate-limit-remaining': '5' };
  assert.equal(spentBy({ ...plenty, ratelimit: '"burst";r=0;t=1' }), 1000);
  for (const headers of [
    {},
    { 'x-ratelimit-reset': '7' },
    { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': '7' },
    { 'x-ratelimit-remaining': '-1', 'x-ratelimit-reset': '7' },
    { 'x-ratelimit-remaining': '0' },
    { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '0' },
    { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(nowMs / 1000 - 7) },
    { 'x-ratelimit-limit': '0', ...inSeven },
    { 'x-ratelimit-limit': '-1', ...inSeven },
    { ratelimit: '"day";r=90;t=3600' },
  ]) {
    assert.equal(spentBy(headers), undefined, JSON.stringify(headers));
  }
});

test('A job’s verdict says whether an answer is worth another attempt, whatever its status.', () => {
  const isTransient = (status: number, verdict?: string) => isTransientAnswer({ status, headers: {}, verdict });
  assert.deepEqual([isTransient(200, 'retry'), isTransient(503, 'refused')], [true, false]);
  assert.deepEqual([isTransient(422), isTransient(500), isTransient(429)], [false, true, true]);
});
