import assert from 'node:assert/strict';
import { test } from 'node:test';
import { every, parseInterval, parseSchedule } from '../../infra/stage/schedule.ts';

const start = new Date('2026-11-24T12:00:30.000Z');

/** The first ticks from `start` on. */
function ticks(expression: string, count: number, timezone = 'UTC') {
  const next = parseSchedule(expression, timezone, start);
  const found: string[] = [];
  for (let due = next(new Date(start.getTime() - 1)); due && found.length < count; due = next(due)) {
    found.push(due.toISOString().replace(/:\d\d\.000Z$/, ''));
  }
  return found;
}

test('a rate ticks at its start and then at each interval', () => {
  assert.deepEqual(ticks('rate(15 minutes)', 3), ['2026-11-24T12:00', '2026-11-24T12:15', '2026-11-24T12:30']);
  assert.deepEqual(ticks('rate(1 day)', 2), ['2026-11-24T12:00', '2026-11-25T12:00']);
});

test('a rate does not catch up on missed ticks', () => {
  const next = every(10_000, start);
  assert.equal(next(new Date('2026-11-24T12:01:01.000Z'))?.toISOString(), '2026-11-24T12:01:10.000Z');
});

test('a cron expression is read as EventBridge reads it', () => {
  // Weekdays count from Sunday = 1, so 2-6 is Monday to Friday.
  assert.deepEqual(ticks('cron(0 9 ? * 2-6 *)', 4), [
    '2026-11-25T09:00',
    '2026-11-26T09:00',
    '2026-11-27T09:00',
    '2026-11-30T09:00',
  ]);
  assert.deepEqual(ticks('cron(0/20 12 * * ? *)', 3), ['2026-11-24T12:20', '2026-11-24T12:40', '2026-11-25T12:00']);
  assert.deepEqual(ticks('cron(0 0 L * ? *)', 2), ['2026-11-30T00:00', '2026-12-31T00:00']);
  assert.deepEqual(ticks('cron(0 0 ? * 6L *)', 1), ['2026-11-27T00:00']);
  assert.deepEqual(ticks('cron(0 0 ? * MON#1 *)', 1), ['2026-12-07T00:00']);
  assert.deepEqual(ticks('cron(0 0 ? * L *)', 1), ['2026-11-28T00:00']);
  assert.deepEqual(ticks('cron(0 0 1W * ? 2026)', 3), ['2026-12-01T00:00']);
});

test('cron and at use their time zone, and at ticks once', () => {
  assert.deepEqual(ticks('cron(0 9 * * ? *)', 1, 'Europe/Berlin'), ['2026-11-25T08:00']);
  assert.deepEqual(ticks('at(2026-12-01T10:00:00)', 2, 'America/New_York'), ['2026-12-01T15:00']);
  assert.deepEqual(ticks('at(2025-12-01T10:00:00)', 1), []);
});

test('the error for a malformed expression quotes it', () => {
  for (const wrong of [
    'rate(0 minutes)',
    'rate(5 fortnights)',
    'cron(0 9 * * ?)',
    'cron(99 9 * * ? *)',
    'at(noon)',
    'never',
  ]) {
    assert.throws(
      () => parseSchedule(wrong, 'UTC', start),
      ({ message }: Error) => message.includes(wrong),
    );
  }
  assert.equal(parseInterval('10s'), 10_000);
  assert.throws(() => parseInterval('10'), /expected 10s, 5m or 2h/);
});
