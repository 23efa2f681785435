import assert from 'node:assert/strict';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { getDefault } from 'valibot';
import { startEtcd } from '../../infra/local/etcd/etcd.ts';
import * as errors from '../../lib/errors.ts';
import { parseBackfill, parseControl, parseTick } from '../../lib/event.ts';
import { readSettings, settingsTable } from '../../lib/settings/config.ts';
import { model, startWorld } from '../support/world.ts';

const root = join(import.meta.dirname, '../..');
const readme = await readFile(join(root, 'README.md'), 'utf8');

/** The text from a heading to the next one of the same or a higher level. */
function section(heading: string): string {
  const [, level] = new RegExp(`^(#+) ${heading}$`, 'm').exec(readme) ?? [];
  assert.ok(level, `the README has no section "${heading}"`);
  const body = readme.slice(readme.indexOf(`\n${level} ${heading}\n`) + level.length + heading.length + 3);
  return body.split(new RegExp(`^#{1,${level.length}} `, 'm'))[0] ?? '';
}

/** The cells of the first table of a text, without its head. */
function tableOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', ''))
      .slice(1, -1),
  );
}

function fences(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^ *\`\`\`${language}\n(.*?)\`\`\``, 'gms'))].map(([, content]) => content ?? '');
}

/** What a setting is when it is not given, in the README's words. */
function defaults(): Record<string, string> {
  const required = { SECRET_ID: 'x', SOURCE_URL: 'http://x', TARGET_URL: 'http://x', TARGET_REGION_ID: 'x' };
  const env = { STAGE: '<STAGE>', ETCD_ENDPOINTS: 'http://x', ...required };
  const { lockKey, statePrefix } = readSettings(env, '<job>');
  const named: Record<string, string> = { LOCK_KEY: lockKey, STATE_PREFIX: statePrefix };
  return Object.fromEntries(
    Object.entries(settingsTable).map(([name, schema]) => {
      if (schema.type !== 'optional') return [name, 'required'];
      return [name, named[name] ?? getDefault(schema) ?? 'off'];
    }),
  );
}

test('The settings table of the README names every setting with its default, and no other.', () => {
  const documented = Object.fromEntries(tableOf(section('Settings')).map(([name, value]) => [name, value]));
  assert.deepEqual(documented, defaults());
});

test('The errors table of the README names every error class with its code, and no other.', () => {
  const classes = Object.values(errors).filter((Kind) => Kind.prototype instanceof errors.SolotickError) as (new (
    message: string,
  ) => errors.SolotickError)[];
  const thrown = classes.map((Kind) => new Kind('x')).map(({ name, code }) => [name, code]);
  assert.ok(thrown.length > 0);
  const documented = tableOf(section('Errors')).map(([name, code]) => [name, code]);
  assert.deepEqual(documented.sort(), thrown.sort());
});

test('Every JSON example of the README is JSON.', () => {
  const examples = fences(readme, 'json');
  assert.ok(examples.length >= 5);
  for (const example of examples) assert.doesNotThrow(() => JSON.parse(example), example);
});

test('Every event that the README sends by hand is one that its function takes.', () => {
  const parse: Record<string, (event: unknown) => unknown> = {
    sync: parseTick,
    backfill: parseBackfill,
    control: parseControl,
  };
  const invocations = [...readme.matchAll(/--function (\w+) --data '(.*)'/g)];
  assert.ok(invocations.length >= 5);
  for (const [command, name = '', event = ''] of invocations) {
    assert.doesNotThrow(() => parse[name]?.(JSON.parse(event)), command);
  }
});

for (const file of ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md']) {
  test(`Every relative link of ${file} leads to a file, and to a heading that is there.`, async () => {
    const text = await readFile(join(root, file), 'utf8');
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue;
      const [path, anchor] = link.split('#');
      if (path) await access(join(root, path));
      if (anchor) {
        const target = path ? await readFile(join(root, path), 'utf8') : text;
        const headings = [...target.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => slug(heading));
        assert.ok(headings.includes(anchor), link);
      }
    }
  });
}

const slug = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replaceAll(' ', '-');

test("A user made with the README's etcdctl commands can do all that a job does, and nothing beside it.", async () => {
  await using etcd = await startEtcd();
  const [role = '', enable = ''] = fences(section('etcd'), 'sh').filter((block) => block.includes('etcdctl user add'));
  for (const line of `${role}${enable}`.trim().split('\n')) {
    const [program, ...args] = line.replaceAll("'…'", 'pw').split(' ');
    assert.equal(program, 'etcdctl');
    await etcd.etcdctl(args);
  }

  const env = { STAGE: 'prod', LOCK_KEY: '', STATE_PREFIX: '' };
  await using world = await startWorld({ endpoints: etcd.endpoints, records: [model(1)], env });
  world.secrets.put('world', {
    source: world.source.credentials,
    target: { token: world.target.token },
    etcd: { username: 'solotick-prod', password: 'pw' },
  });
  assert.equal((await world.tick()).status, 'completed');
  assert.equal((await world.backfill({ ids: [model(1).id] })).status, 'completed');
  assert.equal((await world.control({ action: 'pause' })).paused, true);
  assert.equal((await world.control({ action: 'resume' })).paused, false);
  assert.equal((await world.control({ action: 'reset', what: 'watermark' })).watermark, undefined);
  world.env.SHARDS = '2';
  assert.equal((await world.tick({ shard: { index: 1, of: 2 } })).status, 'completed');

  const asUser = (...args: string[]) => etcd.etcdctl(['--user=solotick-prod:pw', ...args]);
  assert.match(await asUser('lock', '/solotick/prod/models/lock', 'echo', 'held'), /held/);
  for (const key of ['/solotick/prod/models/other', '/solotick/dev/models/lock/1']) {
    await assert.rejects(asUser('put', key, 'x'), /permission denied/);
  }
});
