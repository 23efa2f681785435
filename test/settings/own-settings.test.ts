import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import * as v from 'valibot';
import { readSettings } from '../../lib/settings/config.ts';
import { ownSettingNames, readOwnSettings } from '../../lib/settings/own-settings.ts';

const env = { SITE: 'shop', PATH: '/bin', LIMIT: '5', AWS_SECRET_ACCESS_KEY: 'hunter2', EMPTY: ' ' };
const number = v.pipe(v.string(), v.digits('must be a number'), v.transform(Number));

test('A job reads its own variables, whatever else there is, with any kind of object.', () => {
  const entries = { SITE: v.string(), LIMIT: number, EMPTY: v.optional(v.string(), 'default') };
  for (const settings of [v.object(entries), v.strictObject(entries), v.looseObject(entries)]) {
    const read = readOwnSettings(env, { settings });
    assert.deepEqual(read, { settings: { SITE: 'shop', LIMIT: 5, EMPTY: 'default' }, faults: [] });
  }
  assert.deepEqual(readOwnSettings(env, {}), { settings: {}, faults: [] });
});

test('What is missing or malformed is named with the other settings, in one error, without its value.', () => {
  const settings = v.object({
    ...{ SITE: v.string(), REGION: v.string(), EMPTY: v.string(), LIMIT: v.pipe(v.string(), v.maxLength(0)) },
    TOKEN: v.pipe(
      v.string(),
      v.check(
        (text) => text === '',
        (issue) => `${issue.input} is wrong`,
      ),
    ),
  });
  const given = { ...env, STAGE: 'dev', TOKEN: 'hunter2' };
  assert.throws(
    () => readSettings(given, { name: 'items', settings }),
    ({ name, message }: Error) => {
      assert.equal(name, 'SettingsError');
      assert.match(message, /^8 setting\(s\) missing or malformed: SECRET_ID is missing; .*SOURCE_URL is missing/);
      assert.match(message, /REGION is missing; EMPTY is missing; LIMIT .*; TOKEN … is wrong$/);
      assert.doesNotMatch(message, /hunter2/);
      return true;
    },
  );
});

test('A schema that answers later is a JobError.', () => {
  const settings = v.objectAsync({ SITE: v.string() }) as StandardSchemaV1<unknown, unknown>;
  assert.throws(() => readOwnSettings(env, { settings }), { name: 'JobError', message: /^settings: / });
});

test('The names of a job’s settings are those that its schema looks at.', () => {
  const settings = v.pipe(
    v.object({ SITE: v.string(), LIMIT: v.optional(v.string()) }),
    v.check(({ SITE }) => SITE !== ''),
  );
  assert.deepEqual(ownSettingNames({ settings }), ['SITE', 'LIMIT']);
  assert.deepEqual(ownSettingNames({}), []);
});
