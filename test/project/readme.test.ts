import assert from 'node:assert/strict';
import { access, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { getDefault } from 'valibot';
import { startEtcd } from '../../infra/local/etcd/etcd.ts';
import operatePlugin from '../../infra/operate-plugin.ts';
import { stageFile } from '../../infra/stage/stage-file.ts';
import { parseBackfill } from '../../lib/backfill-event.ts';
import * as errors from '../../lib/errors.ts';
import { parseControl, parseTick } from '../../lib/event.ts';
import { readSettings, settingsTable } from '../../lib/settings/config.ts';
import { model, startWorld } from '../support/world.ts';

const root = join(import.meta.dirname, '../..');

/** What is not ours, or is made by a build. */
const LEFT_OUT = ['node_modules', '.git', '.cache', '.serverless', 'dist'];

/** Every document of the repository by its path, so that a new one is checked too. */
const documents = new Map<string, string>();
for await (const file of markdownIn('')) documents.set(file, await readFile(join(root, file), 'utf8'));

async function* markdownIn(folder: string): AsyncGenerator<string> {
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) {
      if (entry.name.endsWith('.md')) yield path;
    } else if (!LEFT_OUT.includes(entry.name)) yield* markdownIn(path);
  }
}

function textOf(file: string): string {
  const text = documents.get(file);
  assert.ok(text, `there is no ${file}`);
  return text;
}

/** The text from a heading to the next one of the same or a higher level. */
function section(file: string, heading: string): string {
  const text = textOf(file);
  const [, level] = new RegExp(`^(#+) ${heading}$`, 'm').exec(text) ?? [];
  assert.ok(level, `${file} has no section "${heading}"`);
  const body = text.slice(text.indexOf(`\n${level} ${heading}\n`) + level.length + heading.length + 3);
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

const allFences = (language: string) => [...documents.values()].flatMap((text) => fences(text, language));

/** What a setting is when it is not given, in the words of the table. */
function defaults(): Record<string, string> {
  const required = { SECRET_ID: 'x', SOURCE_URL: 'http://x', TARGET_URL: 'http://x' };
  const env = { STAGE: '<STAGE>', ETCD_ENDPOINTS: 'http://x', ...required };
  const { lockKey, statePrefix } = readSettings(env, { name: '<job>' });
  const named: Record<string, string> = { LOCK_KEY: lockKey, STATE_PREFIX: statePrefix };
  return Object.fromEntries(
    Object.entries(settingsTable).map(([name, schema]) => {
      if (schema.type !== 'optional') return [name, 'required'];
      return [name, named[name] ?? getDefault(schema) ?? 'off'];
    }),
  );
}

test('The settings table names every setting with its default, and no other.', () => {
  const table = tableOf(section('infra/README.md', 'Settings'));
  const documented = Object.fromEntries(table.map(([name, value]) => [name, value]));
  assert.deepEqual(documented, defaults());
});

test("The table of the stage's file names every key, and no other.", () => {
  const { jobs, ...top } = stageFile.entries;
  const keys = keysOf(top);
  // What may stand in both places is documented once.
  const ofJob = keysOf(jobs.pipe[0].value.entries).filter((key) => !keys.includes(key));
  keys.push(...ofJob.map((key) => `jobs.<job>.${key}`));
  const named = tableOf(section('infra/README.md', "The stage's file")).flatMap(([names = '']) => names.split(', '));
  assert.deepEqual(named.sort(), keys.sort());
});

/** The keys of a schema's entries, with those of objects in them below theirs. */
function keysOf(entries: object): string[] {
  return Object.entries(entries).flatMap(([key, schema]) => {
    const { entries: own } = schema.wrapped ?? schema;
    return own ? keysOf(own).map((below) => `${key}.${below}`) : [key];
  });
}

test('The errors table names every error class with its code, and no other.', () => {
  const classes = Object.values(errors).filter((Kind) => Kind.prototype instanceof errors.SolotickError) as (new (
    message: string,
  ) => errors.SolotickError)[];
  const thrown = classes.map((Kind) => new Kind('x')).map(({ name, code }) => [name, code]);
  assert.ok(thrown.length > 0);
  const documented = tableOf(section('infra/README.md', 'Errors')).map(([name, code]) => [name, code]);
  assert.deepEqual(documented.sort(), thrown.sort());
});

test('Every JSON example of the documents is JSON.', () => {
  const examples = allFences('json');
  assert.ok(examples.length >= 5);
  for (const example of examples) assert.doesNotThrow(() => JSON.parse(example), example);
});

test('Every event that the documents send by hand is one that its function takes.', () => {
  const parse: Record<string, (event: unknown) => unknown> = {
    sync: parseTick,
    backfill: parseBackfill,
    control: parseControl,
  };
  const text = [...documents.values()].join('\n');
  const invocations = [...text.matchAll(/--function (\w+) --data '(.*)'/g)];
  assert.ok(invocations.length >= 5);
  for (const [command, name = '', event = ''] of invocations) {
    assert.ok(parse[name], command);
    assert.doesNotThrow(() => parse[name]?.(JSON.parse(event)), command);
  }
});

test('Every npm script and every command of serverless that the documents name is there, with its options.', async () => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: object };
  const text = [...documents.values()].join('\n');
  const run = [...text.matchAll(/npm (?:run ([\w:-]+)|(start|test)\b)/g)].map(([, long, short]) => long ?? short ?? '');
  assert.ok(run.length >= 5);
  for (const name of run) assert.ok(name in scripts, name);

  const plugin = operatePlugin(...([{}, {}, {}] as unknown as Parameters<typeof operatePlugin>));
  const own: Record<string, { options: object }> = plugin.commands;
  const builtIn = ['invoke', 'logs', 'package', 'remove'];
  const called = [...text.matchAll(/npx serverless ([\w-]+)([^`|\n]*)/g)];
  assert.ok(called.length >= 10);
  for (const [command, name = '', rest = ''] of called) {
    if (builtIn.includes(name)) continue;
    const options = { ...own[name]?.options, stage: {}, region: {}, help: {} };
    assert.ok(own[name], command);
    for (const [, option = ''] of rest.matchAll(/ --([\w-]+)/g)) assert.ok(option in options, command);
  }
});

test('The documents are found, those of the rooms too.', () => {
  for (const folder of ['', 'functions/', 'infra/', 'infra/etcd/', 'lib/', 'lib/lock/', 'test/'])
    assert.ok(documents.has(`${folder}README.md`), folder);
  for (const file of ['ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md']) assert.ok(documents.has(file), file);
});

for (const [file, text] of documents) {
  test(`Every relative link of ${file} leads to a file, and to a heading that is there.`, async () => {
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue;
      const [path, anchor] = link.split('#');
      const target = join(root, dirname(file), path ?? '');
      // These files are a user's, who may have others.
      if (/\/(functions\/jobs|infra\/config)\//.test(target)) continue;
      if (path) await access(target);
      if (anchor) {
        const headings = path ? await readFile(target, 'utf8') : text;
        const slugs = [...headings.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => slug(heading));
        assert.ok(slugs.includes(anchor), link);
      }
    }
  });
}

const slug = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replaceAll(' ', '-');

test('A user made with the documented etcdctl commands can do all that a job does, and nothing beside it.', async () => {
  await using etcd = await startEtcd();
  const blocks = fences(section('lib/lock/README.md', 'etcd'), 'sh');
  const [role = '', enable = ''] = blocks.filter((block) => block.includes('etcdctl user add'));
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
