import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { serviceFolder } from '../../infra/bundle/artifact.ts';
import { type LocalSecrets, startSecrets } from '../../infra/local/secrets.ts';
import { readStageConfig } from '../../infra/stage/stage-config.ts';
import { parseBackfill } from '../../lib/backfill-event.ts';
import { parseControl, parseTick } from '../../lib/event.ts';
import { readSettings, settingsTable } from '../../lib/settings/config.ts';
import { secretStore } from '../../lib/settings/secrets.ts';
import { job } from '../support/job.ts';
import { testProject } from '../support/project/project.ts';
import { checkMessage, fuzz, like, mostly, rightTimes, text, time, worksOrThrows } from './fuzz.ts';

const shard = like({ index: mostly(fc.nat(2)), of: mostly(fc.integer({ min: 3, max: 4 })) });
const events = fc.oneof(
  like({ kind: mostly(fc.constant('tick')), scheduledTime: mostly(rightTimes), shard }),
  like({ kind: fc.constant('continue'), root: mostly(fc.uuid()), hop: mostly(fc.integer({ min: 1, max: 30 })), shard }),
  like({ source: mostly(fc.constant('aws.events')), 'detail-type': fc.constant('Scheduled Event'), time }),
  like({
    ...{ kind: mostly(fc.constant('backfill')), since: mostly(rightTimes), until: time },
    ...{ waitSeconds: mostly(fc.nat(900)), shard, dryRun: mostly(fc.constant(false)), backfillId: mostly(fc.uuid()) },
    concurrency: mostly(fc.integer({ min: 1, max: 50 })),
  }),
  like({ ids: mostly(fc.array(text, { minLength: 1 })), waitSeconds: mostly(fc.nat(900)), shard }),
  like({ action: mostly(fc.constantFrom('status', 'pause', 'resume')) }),
  like({ action: fc.constant('pause'), note: text }),
  like({
    ...{ action: fc.constant('reset'), what: mostly(fc.constantFrom('checkpoint', 'watermark', 'failed')) },
    to: mostly(rightTimes),
  }),
);

fuzz(
  'Every event is taken or refused by its function.',
  events,
  async (event) => {
    for (const parse of [parseTick, parseBackfill, parseControl])
      await worksOrThrows(['EventError'], () => parse(event));
  },
  5,
);

/** What a variable may be, by the kind of its setting. */
const variable = fc.oneof(
  text,
  time,
  fc.integer().map(String),
  fc.webUrl(),
  fc.array(fc.webAuthority({ withPort: true }).map((host) => `http://${host}`)).map(String),
  fc.constantFrom(
    'http://[::1',
    'https://a:b@c',
    'http://a:99999',
    'http://[::1]:2379',
    '/lock',
    '/lock/',
    'true',
    'self',
  ),
);
const stage = {
  STAGE: 'test',
  SECRET_ID: 'id',
  SOURCE_URL: 'http://a',
  TARGET_URL: 'http://b',
  TARGET_REGION_ID: 'eu',
};
const right: Record<string, string> = { ...stage, ETCD_ENDPOINTS: 'http://c' };
const variables = fc.record(
  Object.fromEntries(
    [...Object.keys(settingsTable), 'TARGET_REGION_ID'].map((name) => {
      const usual = fc.constant(right[name] ?? '');
      return [name, fc.oneof({ weight: 30, arbitrary: usual }, { weight: 1, arbitrary: variable })];
    }),
  ),
);

fuzz('Every environment is settings or an error.', variables, async (env) => {
  await worksOrThrows(['SettingsError'], () => readSettings(env, job));
});

let secrets: LocalSecrets;
let folder: string;
let project: string;
before(async () => {
  secrets = await startSecrets();
  folder = await mkdtemp(join(tmpdir(), 'solotick-fuzz-'));
  project = await serviceFolder(folder, testProject);
  Object.assign(process.env, { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' });
  process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER = secrets.url;
});
after(async () => {
  await secrets?.[Symbol.asyncDispose]();
  if (folder) await rm(folder, { recursive: true });
});

const MARK = 'hunter2';
const hidden = text.map((part) => `${MARK}${part}`);
const secret = like({
  source: like({ username: mostly(hidden), password: mostly(hidden) }),
  target: like({ token: mostly(hidden) }),
  etcd: like({ username: hidden, password: hidden, ca: hidden, cert: hidden, key: hidden }),
});

fuzz(
  'Every secret is taken or refused, and no message has a part of it.',
  fc.oneof(
    secret.map((value) => JSON.stringify(value)),
    text,
  ),
  async (value) => {
    // Secrets Manager stores text that UTF-8 can hold.
    secrets.put('fuzz', value.toWellFormed() || ' ');
    try {
      await secretStore('fuzz', job).read(AbortSignal.timeout(60_000));
    } catch (error) {
      const { name, message } = error as Error;
      assert.equal(name, 'SecretError', message);
      checkMessage(message);
      // Unknown keys are named, values are not.
      if (value.startsWith('{"source":')) assert.doesNotMatch(message, new RegExp(MARK));
    }
  },
  0.3,
);

const setting = fc.oneof(
  fc.integer(),
  fc.boolean(),
  variable.map((value) => value.slice(0, 5000)),
);
const settings = fc.oneof(
  fc.constant({ SOURCE_URL: 'http://a', TARGET_URL: 'http://b', TARGET_REGION_ID: 'eu', ETCD_ENDPOINTS: 'http://c' }),
  fc.dictionary(fc.constantFrom(...Object.keys(settingsTable)), setting),
);
const ofAnyPlace = {
  ...{ memoryMb: mostly(fc.constant(512)), timeoutSeconds: mostly(fc.integer({ min: 5, max: 900 })) },
  ...{ logRetentionDays: mostly(fc.constant(30)), alarms: fc.boolean(), dashboard: fc.boolean() },
  ...{ alarmWithoutSuccessMinutes: mostly(fc.nat(10_100)), settings },
};
const block = like({
  schedule: like({
    expression: mostly(
      fc.constantFrom('rate(15 minutes)', 'cron(0/15 * * * ? *)', 'cron(0 0 31 2 ? *)', 'rate(999999 days)'),
    ),
    ...{ timezone: mostly(fc.constantFrom('UTC', 'Europe/Berlin')), enabled: fc.boolean() },
    flexibleWindowMinutes: mostly(fc.nat(1500)),
  }),
  ...{ shards: mostly(fc.integer({ min: 1, max: 210 })), secretId: mostly(fc.constant('solotick/x')), ...ofAnyPlace },
});
const stageFile = like({
  ...ofAnyPlace,
  jobs: mostly(fc.dictionary(fc.oneof(fc.constantFrom('models', 'prices'), fc.string({ maxLength: 80 })), block)),
});

fuzz(
  'Every stage’s file is taken or refused with an error that names the file.',
  fc.oneof(
    stageFile.map((value) => JSON.stringify(value)),
    text,
    fc.string({ unit: fc.constantFrom(...'{}[]:-|>&*!@`"\'#?,\n\t a1'), maxLength: 60 }),
  ),
  async (yaml) => {
    await writeFile(join(project, 'infra/config/fuzz.yml'), yaml);
    await readStageConfig('fuzz', project).catch(({ name, message }: Error) => {
      assert.match(message, /^infra\/config\/fuzz\.yml /);
      assert.equal(name, 'StageError');
      checkMessage(message);
    });
  },
  0.1,
);

/** Parses an event made by `make` in a process with little memory, and returns the message. */
async function messageWithin(oldSpaceMb: number, make: string): Promise<string> {
  const code = `
    const { parseBackfill } = await import(${JSON.stringify(new URL('../../lib/backfill-event.ts', import.meta.url).href)});
    const { parseControl, parseTick } = await import(${JSON.stringify(new URL('../../lib/event.ts', import.meta.url).href)});
    const event = JSON.parse(${make});
    for (const parse of [parseTick, parseBackfill, parseControl])
      try { parse(event) } catch (error) { console.log(error.name, error.message.length) }`;
  const args = [`--max-old-space-size=${oldSpaceMb}`, '--input-type=module', '-e', code];
  return (await promisify(execFile)(process.execPath, args)).stdout;
}

test('The largest event that Lambda passes on is refused within the memory of the smallest function.', async () => {
  const six = 6_000_000;
  for (const make of [
    `'{"ids":[' + '"",'.repeat(${six / 3 - 10}) + '""]}'`,
    `'{"ids":["' + 'x'.repeat(${six}) + '",""]}'`,
    `'{' + Array.from({ length: 400_000 }, (_, at) => '"key' + at + '":1').join(',') + '}'`,
    `'{"ids":' + '['.repeat(1000) + ']'.repeat(1000) + '}'`,
  ]) {
    const lines = (await messageWithin(128, make)).trim().split('\n');
    assert.equal(lines.length, 3, make);
    for (const line of lines) assert.match(line, /^EventError \d{2,3}$/);
  }
});
