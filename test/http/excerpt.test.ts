import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { excerptOf } from '../../lib/http/excerpt.ts';

const answer = (body: string | Uint8Array, type = 'application/json', headers: Record<string, string> = {}) => ({
  status: 422,
  headers: { 'content-type': type, ...headers },
  body: Buffer.from(body),
});

test('An excerpt is the body on one line, up to 200 characters of it.', () => {
  assert.equal(excerptOf(answer('{"error":\n  "no such\tfield"}')), ': {"error": "no such field"}');
  assert.equal(excerptOf(answer('x'.repeat(200), 'text/plain')), `: ${'x'.repeat(200)}`);
  assert.equal(excerptOf(answer('x'.repeat(201), 'text/plain')), `: ${'x'.repeat(199)}…`);
  assert.equal(excerptOf(answer('a\u001b[31mb\u0000\u202ec', 'text/plain')), ': a [31mb c');
});

test('Only text and JSON are quoted, packed or not.', () => {
  for (const type of ['text/plain; charset=utf-8', 'text/html', 'application/problem+json', 'application/xml'])
    assert.equal(excerptOf(answer('reason', type)), ': reason', type);
  for (const type of ['image/png', 'application/octet-stream', 'application/jsonp-no', '']) {
    assert.equal(excerptOf(answer('reason', type)), '', type);
  }
  assert.equal(excerptOf(answer(gzipSync('reason'), 'text/plain', { 'content-encoding': 'gzip' })), ': reason');
  assert.equal(excerptOf(answer('no gzip', 'text/plain', { 'content-encoding': 'gzip' })), '');
  for (const body of [' \n', '{}', '[]']) assert.equal(excerptOf(answer(body)), '');
});

test('No part of the secret or of the record is quoted, nor what the request was signed with.', () => {
  const signed = { headers: { authorization: 'Bearer minted-token' }, query: 'key=in%20query' };
  const said = { token: 'hunter2', got: 'minted-token', key: 'in query', name: 'Model 5', size: 512, hint: 'too long' };
  const excerpt = excerptOf({ ...answer(JSON.stringify(said)), signed }, { own: { token: 'hunter2' } }, [
    { name: 'Model 5', size: 512 },
  ]);
  assert.equal(excerpt, ': {"token":"…","got":"…","key":"…","name":"…","size":…,"hint":"too long"}');
});

test('A secret that the bound on the body cuts is not quoted either.', () => {
  const secret = 'hunter2'.repeat(100);
  const body = `{"echo":"${' '.repeat(16_000)}${secret}`.slice(0, 16_384);
  assert.doesNotMatch(excerptOf(answer(body), { secret }), /hunter2/);
});
