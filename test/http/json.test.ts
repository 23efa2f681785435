import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_DEPTH, nestsTooDeep, parseJson } from '../../lib/http/json.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const tooDeep = (text: string) => nestsTooDeep(bytes(text));
const arrays = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

test('JSON in UTF-8 is parsed, and bytes that are neither are refused.', () => {
  assert.deepEqual(parseJson(bytes('{"größe":[1,"€"]}')), { größe: [1, '€'] });
  assert.throws(() => parseJson(bytes('{"a":')), SyntaxError);
  assert.throws(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22)), TypeError);
});

test('A number that JavaScript would alter keeps its digits wherever it stands, and any other is a number.', () => {
  const altered = ['9007199254740993', '900719925474.0993', '1e400', '1E400', '1e+400', '1e-400', '12.3e-400'];
  for (const place of ['N', ' \n N ', '[N]', '[ \n N]', '{"a":N}', '{"a": \n N}', '{"a":[2,N]}', '[2e1, \n N]']) {
    for (const number of altered.flatMap((digits) => [digits, `-${digits}`])) {
      const value = parseJson(bytes(place.replace('N', number)));
      assert.equal(JSON.stringify(value), place.replaceAll(/\s/g, '').replace('N', number).replace('2e1', '20'));
    }
    for (const number of ['9007199254740991', '1e40', '1.5E+2', '-7']) {
      const json = place.replace('N', number);
      assert.deepEqual(parseJson(bytes(json)), JSON.parse(json));
    }
  }
});

test('A hundred levels of arrays and objects are not too deep, and one more is.', () => {
  assert.equal(tooDeep(arrays(MAX_DEPTH)), false);
  assert.equal(tooDeep(arrays(MAX_DEPTH + 1)), true);
  const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  assert.equal(tooDeep(objects(MAX_DEPTH)), false);
  assert.equal(tooDeep(objects(MAX_DEPTH + 1)), true);
  assert.equal(tooDeep('{"a":['.repeat(MAX_DEPTH / 2)), false);
  assert.equal(tooDeep(`${'{"a":['.repeat(MAX_DEPTH / 2)}[`), true);
  assert.equal(tooDeep('"a"'), false);
});

test('What is closed again does not count, however much of it there is.', () => {
  assert.equal(tooDeep(`[${'[],{},'.repeat(1000)}0]`), false);
  assert.equal(tooDeep(`[${'[],{},'.repeat(1000)}${arrays(MAX_DEPTH)}]`), true);
});

test('Brackets within a text neither open nor close a level.', () => {
  assert.equal(tooDeep(`["${'['.repeat(500)}{{"]`), false);
  // The closing ones would hide the depth of what follows.
  assert.equal(tooDeep(`["${']}'.repeat(500)}",${arrays(MAX_DEPTH)}]`), true);
});

test('A quote behind a backslash does not end a text, and one behind a backslash that is itself quoted does.', () => {
  const open = '['.repeat(MAX_DEPTH + 1);
  assert.equal(tooDeep(String.raw`["a\"${open}"]`), false);
  assert.equal(tooDeep(String.raw`["a\\",${open}`), true);
  assert.equal(tooDeep(String.raw`["a\\\"${open}"]`), false);
  assert.equal(tooDeep(String.raw`["\\\\",${open}`), true);
  assert.equal(tooDeep(String.raw`["\\", "${open}"]`), false);
  assert.equal(tooDeep(String.raw`["\u005c","${open}"]`), false);
});
