import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textsIn, withoutTexts } from '../lib/hidden-texts.ts';

test('The texts of a value are found however deep they lie, numbers among them.', () => {
  const value = { a: 'x', b: [{ c: 'y', d: 12 }, null, true], e: '', f: undefined, g: 5n };
  assert.deepEqual([...textsIn(value)], ['x', 'y', '12', '5']);
});

test('A text is hidden as it is, in JSON, in a URL, in a form and in Base64.', () => {
  const secret = 'hünter "2"/\n?';
  const forms = [
    secret,
    JSON.stringify(secret),
    encodeURIComponent(secret),
    `${new URLSearchParams({ key: secret })}`,
    Buffer.from(secret).toString('base64'),
  ];
  for (const form of forms) {
    const shown = withoutTexts(`before ${form} after`, [secret]);
    assert.match(shown, /^before ("|key=)?…"? after$/);
  }
});

test('A long text is hidden before its parts, and a short one only where it is a whole word.', () => {
  assert.equal(withoutTexts('abcdefgh', ['abcd', 'abcdefgh']), '…');
  assert.equal(withoutTexts('id 12 of 1234: a', ['12', 'a']), 'id … of 1234: …');
  assert.equal(withoutTexts('name "é" and été', ['é']), 'name "…" and été');
  assert.equal(withoutTexts('[.] (x)', ['.', '']), '[…] (x)');
});

test('What has nothing to hide stays as it is.', () => {
  assert.equal(withoutTexts('no such field', ['hunter2']), 'no such field');
});
