import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { roomOf } from './arrows.ts';
import { checkRooms } from './rooms.ts';

/** Writes a tree of files with its drawing and says what the check finds wrong with it. */
async function faultsOf(t: TestContext, drawing: string, files: Record<string, string>): Promise<string[]> {
  const root = await mkdtemp(join(tmpdir(), 'solotick-rooms-'));
  t.after(() => rm(root, { recursive: true }));
  const architecture = `# A\n\n## Rooms\n\n\`\`\`mermaid\nflowchart TD\n${drawing}\n\`\`\`\n`;
  for (const [path, text] of Object.entries({ 'ARCHITECTURE.md': architecture, ...files })) {
    await mkdir(join(root, dirname(path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return checkRooms(root);
}

const empty = 'export {};\n';

test('A tree whose imports are all drawn has no faults.', async (t) => {
  const faults = await faultsOf(t, 'functions --> run\nrun --> read & vocabulary --> time', {
    'functions/sync.ts': "import { run } from '../lib/run/run.ts';\nimport middy from '@middy/core';\n",
    'lib/run/run.ts': "import '../read/read.ts';\nimport type { Event } from '../event.ts';\nimport './skip.ts';\n",
    'lib/run/skip.ts': empty,
    'lib/read/read.ts': "import { readFile } from 'node:fs';\nimport { abort } from '../time/abort.ts';\n",
    'lib/event.ts': "export { abort } from './time/abort.ts';\n",
    'lib/time/abort.ts': "import 'valibot';\n",
  });
  assert.deepEqual(faults, []);
});

test('An arrow that is not drawn is a fault, whether the import is static, dynamic, of types or a re-export.', async (t) => {
  const faults = await faultsOf(t, 'run --> read', {
    'lib/run/run.ts': [
      "import { read } from '../read/read.ts';",
      "import type { Write } from '../write/write.ts';",
      "export const late = () => import('../copy/copy.ts');",
      'export type Lock = import("../lock/lock.ts").Lock;',
      "export * from '../time/time.ts';",
    ].join('\n'),
    ...Object.fromEntries(['read', 'write', 'copy', 'lock', 'time'].map((room) => [`lib/${room}/${room}.ts`, empty])),
  });
  const remedy = 'pass in what run needs, move the code, or draw the arrow if it is meant';
  assert.deepEqual(faults, [
    `lib/run/run.ts:3: ARCHITECTURE.md draws no arrow run --> copy: ${remedy}`,
    `lib/run/run.ts:4: ARCHITECTURE.md draws no arrow run --> lock: ${remedy}`,
    `lib/run/run.ts:5: ARCHITECTURE.md draws no arrow run --> time: ${remedy}`,
    `lib/run/run.ts:2: ARCHITECTURE.md draws no arrow run --> write: ${remedy}`,
  ]);
});

test('A drawn arrow that no import takes any more is a fault.', async (t) => {
  const faults = await faultsOf(t, 'run --> read & write', {
    'lib/run/run.ts': "// import '../write/write.ts'\nimport '../read/read.ts';\n",
    'lib/read/read.ts': empty,
    'lib/write/write.ts': empty,
  });
  assert.deepEqual(faults, [
    'ARCHITECTURE.md:7: the code no longer has the arrow run --> write: delete it from the drawing',
  ]);
});

test('A circle of rooms is a fault although every arrow is drawn and no two files import each other.', async (t) => {
  const faults = await faultsOf(t, 'run --> copy\ncopy --> state\nstate --> run', {
    'lib/run/run.ts': "import '../copy/copy.ts';\n",
    'lib/run/result.ts': empty,
    'lib/copy/copy.ts': "\nimport '../state/state.ts';\n",
    'lib/state/state.ts': "\n\nimport '../run/result.ts';\n",
  });
  assert.deepEqual(faults, [
    'lib/copy/copy.ts:2: the rooms form a circle, copy --> state --> run --> copy: cut one of its arrows ' +
      '(lib/copy/copy.ts:2, lib/state/state.ts:3, lib/run/run.ts:1)',
  ]);
});

test('lib imports neither functions, infra nor test, and nothing imports test, even where it is drawn.', async (t) => {
  const faults = await faultsOf(t, 'run --> functions & infra/stage\ninfra/stage --> read', {
    'lib/run/run.ts': "import '../../functions/job.ts';\nimport '../../infra/stage/a.ts';\nimport '../../test/a.ts';\n",
    'lib/read/read.ts': empty,
    'functions/job.ts': "import '../test/a.ts';\n",
    'infra/stage/a.ts': "import '../../lib/read/read.ts';\nimport '../../test/a.ts';\n",
    'test/a.ts': empty,
  });
  const remedy = 'pass in what it needs, or move the code';
  assert.deepEqual(faults, [
    `functions/job.ts:1: functions must not import test (test/a.ts): ${remedy}`,
    `infra/stage/a.ts:2: infra must not import test (test/a.ts): ${remedy}`,
    `lib/run/run.ts:1: lib must not import functions (functions/job.ts): ${remedy}`,
    `lib/run/run.ts:2: lib must not import infra (infra/stage/a.ts): ${remedy}`,
    `lib/run/run.ts:3: lib must not import test (test/a.ts): ${remedy}`,
  ]);
});

test('A package belongs to one room of lib; valibot, Node and what functions and infra import are free.', async (t) => {
  const free = "import 'valibot';\nimport 'node:fs';\nimport 'undici';\n";
  const faults = await faultsOf(t, '', {
    'lib/lock/etcd.ts': "import 'valibot';\nimport { Etcd3 } from 'etcd3';\nimport '@aws-sdk/client-sqs';\n",
    'lib/lock/mutex.ts': "import type { IRequestOp } from 'etcd3';\n",
    'lib/state/state.ts': "import 'valibot';\n\nimport type { IRequestOp } from 'etcd3/lib/rpc';\n",
    'lib/http/client.ts': free,
    'functions/sync.ts': free,
    'infra/local/start.ts': free,
  });
  assert.deepEqual(faults, [
    'lib/state/state.ts:3: etcd3 belongs to the room lock (lib/lock/etcd.ts:2): one room of lib owns a package, ' +
      'so use what lock exports, or export it there',
  ]);
});

test('A subgraph stands for its rooms; labels, comments and the direction of the picture mean nothing.', async (t) => {
  const drawing = [
    '  subgraph steps [one run]',
    '    direction LR',
    '    run["one run"]',
    '    read & write %% the two APIs',
    '  end',
    '  run -->|page by page| read & write',
    '  steps --> vocabulary',
    '  steps --> time',
  ].join('\n');
  const faults = await faultsOf(t, drawing, {
    'lib/run/run.ts': "import '../read/read.ts';\nimport '../write/write.ts';\n",
    'lib/read/read.ts': "import '../event.ts';\n",
    'lib/write/write.ts': "import '../event.ts';\n",
    'lib/event.ts': empty,
  });
  assert.deepEqual(faults, [
    'ARCHITECTURE.md:14: the code no longer has the arrow steps --> time: delete it from the drawing',
  ]);
});

test('A line of the drawing that is not understood is a fault, and so is a missing drawing.', async (t) => {
  assert.deepEqual(await faultsOf(t, 'run ==> read', {}), [
    'ARCHITECTURE.md: line 7 is not understood: "run ==> read". Write an arrow as "from --> to"',
  ]);
  assert.deepEqual(await faultsOf(t, '', { 'ARCHITECTURE.md': '# A\n\n## Rooms\n\nText.\n' }), [
    'ARCHITECTURE.md: there is no ```mermaid block under the heading "## Rooms": draw it',
  ]);
});

test('A room is the folder below lib or infra, and the files without one have rooms too.', () => {
  const rooms = {
    'lib/errors.ts': 'vocabulary',
    'lib/job.ts': 'job',
    'lib/run/run.ts': 'run',
    'lib/read/json/records.ts': 'read',
    'functions/sync.ts': 'functions',
    'functions/jobs/models.ts': 'functions',
    'infra/build-plugin.ts': 'infra/plugins',
    'infra/stage/schedule.ts': 'infra/stage',
    'infra/local/start.ts': 'infra/local',
    'infra/local/etcd/binary.ts': 'infra/local',
  };
  for (const [path, room] of Object.entries(rooms)) assert.equal(roomOf(path), room, path);
});
