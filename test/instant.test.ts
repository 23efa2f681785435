import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { instant, instantAt, instantOf, msOf, utcInstant } from '../lib/instant.ts';

const faultOf = (text: unknown) => v.safeParse(instant, text).issues?.[0]?.message;

test('A time with a zone is taken as it is written, with or without seconds, fractions and a colon in the zone.', () => {
  for (const text of [
    '2026-01-31T12:00Z',
    '2026-01-31T12:00:59Z',
    '2026-01-31T12:00:59.5Z',
    '2026-01-31T12:00:59.123456789Z',
    '2026-01-31T12:00:00+01:00',
    '2026-01-31T12:00:00-0330',
  ])
    assert.equal(v.parse(instant, text), text);
});

test('Anything else is refused, and the message shows what a time looks like.', () => {
  for (const text of [
    '2026-01-31T12:00:00',
    '2026-01-31',
    '2026-01-31 12:00:00Z',
    '2026-1-31T12:00Z',
    '02026-01-31T12:00Z',
    '2026-001-31T12:00Z',
    '2026-01-031T12:00Z',
    '2026-01-31T012:00Z',
    '2026-01-31T12:000Z',
    '2026-01-31T12:00:000Z',
    '2026-01-31T12:00:0Z',
    '2026-01-31T12Z',
    '2026-01-31T12:00:00.Z',
    '2026-01-31T12:00:00,5Z',
    '2026-01-31T12:00:00z',
    '2026-01-31T12:00:00+1:00',
    '2026-01-31T12:00:00+01',
    '2026-01-31T12:00:00+01:0',
    '2026-01-31T12:00:00 +01:00',
    ' 2026-01-31T12:00:00Z',
    '2026-01-31T12:00:00Z ',
    'x2026-01-31T12:00:00Z',
    '+002026-01-31T12:00:00Z',
    'now',
    '',
  ])
    assert.equal(faultOf(text), 'must be an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z', text);
  for (const value of [undefined, null, 1_767_225_600_000, new Date()]) assert.notEqual(faultOf(value), undefined);
});

test('A day or an hour that does not exist is refused, although V8 reads it as a later one.', () => {
  for (const text of [
    '2026-02-29T12:00:00Z',
    '2026-02-30T12:00:00Z',
    '2026-04-31T12:00:00+02:00',
    '2026-13-01T12:00:00Z',
    '2026-00-01T12:00:00Z',
    '2026-01-32T12:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T12:60:00Z',
    '2026-01-01T12:00:60Z',
    '2026-01-01T12:00:00+24:00',
  ])
    assert.equal(faultOf(text), 'must be a time that exists', text);
  for (const text of [
    '2028-02-29T12:00:00Z',
    '2026-02-28T23:59:59Z',
    '2026-12-31T23:59:59.999Z',
    '2026-01-30T00:00:00Z',
    '2026-01-31T23:30:00-11:00',
    '2026-01-29T23:00:00+13:00',
  ])
    assert.equal(faultOf(text), undefined, text);
});

test('The years 0 to 9999 in UTC are taken, and no others, because only those sort as text.', () => {
  for (const text of ['0000-01-01T00:00:00Z', '9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59+05:00'])
    assert.equal(faultOf(text), undefined, text);
  for (const text of ['0000-01-01T00:00:00+01:00', '9999-12-31T23:59:59-05:00'])
    assert.equal(faultOf(text), 'must be a time that exists', text);
});

test('In UTC a time has one form.', () => {
  for (const text of ['2026-01-31T12:00Z', '2026-01-31T13:00:00+01:00', '2026-01-31T12:00:00.000Z'])
    assert.equal(v.parse(utcInstant, text), '2026-01-31T12:00:00.000Z');
});

test('A time of a record is read as far as it can be, and is unknown otherwise.', () => {
  assert.equal(msOf('1970-01-01T00:00:01Z'), 1000);
  assert.equal(msOf('0000-01-01T00:00:00Z'), -62_167_219_200_000);
  assert.equal(msOf('9999-12-31T23:59:59.999Z'), 253_402_300_799_999);
  for (const time of [undefined, '', 'at noon', '-000001-12-31T23:59:59.999Z', '+010000-01-01T00:00:00Z'])
    assert.ok(Number.isNaN(msOf(time)), time);
  assert.equal(instantOf('1970-01-01T01:00:01+01:00'), '1970-01-01T00:00:01.000Z');
  for (const time of [undefined, 'at noon']) assert.equal(instantOf(time), undefined);
});

test('Any time before the year 0 becomes its first moment.', () => {
  assert.equal(instantAt(0), '1970-01-01T00:00:00.000Z');
  for (const ms of [Number.NEGATIVE_INFINITY, -62_167_219_200_001, -62_167_219_200_000])
    assert.equal(instantAt(ms), '0000-01-01T00:00:00.000Z');
  assert.equal(instantAt(-62_167_219_199_999), '0000-01-01T00:00:00.001Z');
});
