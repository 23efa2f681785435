import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { readable } from '../../infra/local/log-line.ts';
import { serve } from '../../infra/local/serve.ts';
import { startBackfill } from '../../infra/operate/backfill.ts';
import { backfillCommand } from '../../infra/operate/backfill-command.ts';
import { readBackfillOptions } from '../../infra/operate/options.ts';
import operatePlugin from '../../infra/operate-plugin.ts';
import { announce } from '../../infra/terminal/announce.ts';
import { linePrinter } from '../../infra/terminal/print-lines.ts';
import { printable } from '../../infra/terminal/printable.ts';
import { Refusal } from '../../infra/terminal/refusal.ts';
import { shellWord } from '../../infra/terminal/shell-word.ts';
import { newReport } from '../../lib/report.ts';

/** It clears the screen, begins a line, reorders what follows, and goes back to the beginning of the line. */
const EVIL = "a\u001b[2J\u009b31m\n'timer' not paused\r\u2028\u202eb\u007f\u0000\ufeff\ud800";
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a terminal must not receive
const COMMANDS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]/u;

test('Unprintable characters are shown escaped, JSON stays the same JSON, and all other text stays as it is.', () => {
  assert.equal(
    printable(EVIL),
    "a\\u001b[2J\\u009b31m\\n'timer' not paused\\r\\u2028\\u202eb\\u007f\\u0000\\ufeff\\ud800",
  );
  assert.deepEqual(JSON.parse(printable(JSON.stringify({ [EVIL]: EVIL }))), { [EVIL]: EVIL });
  for (const text of ['', 'acme/model-1 (attempts: 2)', 'größer, 模型, 👩‍👩‍👧, می‌خواهم', 'C:\\new'])
    assert.equal(printable(text), text);
  assert.equal(printable('\u{e0041}'), '\\udb40\\udc41');
  assert.equal(printable(printable(EVIL)), printable(EVIL));
});

test('A printed line is one line, whatever is in it.', () => {
  const lines: string[] = [];
  linePrinter((line) => lines.push(line))(['first', EVIL]);
  assert.deepEqual(lines, ['first', printable(EVIL)]);
});

test('A word that is pasted into bash is the same word again, control characters, quotes and backslashes included.', async () => {
  const words = [
    EVIL.replace('\u0000', '').replace('\ud800', ''),
    "it's",
    '$(id) `id` \\',
    "\u001b'\\n\u202e",
    '',
    '-x',
    '👩‍👩‍👧\u0007',
  ];
  const command = `printf '%s\\0' ${words.map(shellWord).join(' ')}`;
  assert.doesNotMatch(command, COMMANDS);
  const { stdout } = await promisify(execFile)('bash', ['-c', command]);
  assert.deepEqual(stdout.split('\0').slice(0, -1), words);
});

test('The ids to write again read as the same ids once they are pasted.', async () => {
  const ids = ['plain', EVIL.replace('\ud800', ''), "it's, 'quoted'", '🙂'];
  const now = new Date('2026-01-05T00:00:00Z');
  const words = backfillCommand({ stage: 'prod' }, { ids });
  assert.doesNotMatch(words, COMMANDS);
  const { stdout } = await promisify(execFile)('bash', ['-c', `printf '%s\\0' ${words}`]);
  const option = stdout.split('\0').slice(0, -1).at(-1)!;
  assert.deepEqual(readBackfillOptions({ ids: option }, now).whole.ids, ids);
});

test('A refusal shows its lines, and no line that a stranger has begun.', async () => {
  const { message, lines } = new Refusal([`skipped: ${EVIL}`, 'to continue:']);
  assert.equal(message, `skipped: ${printable(EVIL)}\nto continue:`);
  assert.equal(lines.length, 2);
  const failing = async () => Promise.reject(new Refusal(EVIL, { cause: new Error('lost') }));
  await assert.rejects(
    startBackfill({ whole: { ids: ['a'] } }, failing, {}, new AbortController().signal),
    (error: Error) => {
      const [first, ...others] = error.message.split('\n');
      assert.equal(first, printable(EVIL));
      assert.match(
        others.join('\n'),
        /^whether it has started, this says:\n {2}npx serverless backfill --watch [\w-]{36}$/,
      );
      return true;
    },
  );
});

test('A log line of a function is one line in npm run dev, whatever it says, and no line breaks the command.', () => {
  const entry = {
    level: 'INFO',
    message: EVIL,
    timestamp: '2026-01-01T00:00:00.000Z',
    problem: { id: EVIL },
    id: EVIL,
  };
  const metrics = { _aws: { Timestamp: 0 }, [EVIL]: 1 };
  for (const line of [JSON.stringify(entry), EVIL, JSON.stringify(metrics), JSON.stringify(EVIL)]) {
    const shown = readable('sync', line);
    assert.doesNotMatch(shown, COMMANDS);
    assert.match(shown, /\\u202e/);
  }
  for (const line of [
    'null',
    '7',
    '[]',
    '{}',
    '{"_aws":null}',
    '{"_aws":{}}',
    '{"_aws":{"Timestamp":1e300}}',
    '{"level":1,"message":2}',
  ])
    assert.equal(readable('sync', line), `sync  ${line}`);
});

test('Whatever the functions answer, status, diff and backfill print no command for the terminal, and no line of a stranger.', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'solotick-printable-'));
  t.after(() => rm(folder, { recursive: true }));
  const at = '2026-01-01T00:00:00.000Z';
  const run = {
    ...{ runId: EVIL, kind: EVIL, status: EVIL, startedAt: EVIL, endedAt: EVIL, report: newReport() },
    error: { name: EVIL, code: EVIL, message: EVIL },
  };
  const status = {
    ...{ job: EVIL, stage: EVIL, lockKey: EVIL, paused: true, pause: { since: EVIL, note: EVIL }, consecutiveSkips: 1 },
    ...{ heldBy: { key: EVIL, leaseId: '1', runId: EVIL, kind: EVIL, startedAt: EVIL, host: EVIL }, advice: EVIL },
    ...{ lastRun: run, lastBackfill: run, lastCompletedStartedAt: EVIL, watermark: { at: EVIL, fullAt: EVIL } },
    ...{ unfinishedPass: { startedAt: EVIL, counts: newReport() }, failed: [{ id: EVIL, attempts: 1 }] },
    history: [{ ...run, reason: EVIL, message: EVIL, fencingToken: EVIL, startedBy: EVIL, host: EVIL }],
    ...{ removalsWithheld: 12, removals: { withheld: 12, of: 100, at: EVIL } },
    backfills: [
      {
        ...{
          id: 'a',
          status: 'failed',
          since: EVIL,
          until: EVIL,
          windows: 2,
          window: 1,
          shards: 2,
          shardsDone: 1,
          done: 0.5,
        },
        ...{ counts: newReport(), startedAt: at, updatedAt: EVIL, endedAt: at, startedBy: EVIL, attempts: 5 },
        ...{ lastError: { name: EVIL, code: EVIL, message: EVIL }, failedCount: 1, failed: [EVIL] },
      },
    ],
  };
  const result = {
    ...{ status: 'completed', reason: EVIL, job: 'models', runId: EVIL, report: { ...newReport(), failed: 1 } },
    ...{ problems: [{ id: EVIL, kind: EVIL, reason: EVIL }], failedIds: [EVIL], wouldWrite: [EVIL], backfillId: EVIL },
    differences: [{ id: EVIL, kind: EVIL, fields: [{ name: EVIL, source: EVIL, target: { [EVIL]: EVIL } }] }],
  };
  await using lambda = await serve((request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(request.url?.includes('-control/') ? { ...status, at } : result));
  });
  announce(folder, { url: lambda.url, stage: 'dev', jobs: [{ job: 'models', shards: 1 }] });
  /** What a command prints. */
  const printed = async (command: 'status:run' | 'history:run' | 'backfill:run' | 'diff:run', options: object) => {
    const lines: string[] = [];
    const writers = {
      writeText: (text: string) => lines.push(text),
      progress: { get: () => ({ update: (text: string) => lines.push(text), remove() {} }) },
    };
    const service = { getFunction: (name: string) => ({ name }) };
    const serverless = { serviceDir: folder, service, classes: { Error } };
    const given = [serverless, { local: true, ...options }, writers] as unknown as Parameters<typeof operatePlugin>;
    // A refusal is printed as well, by osls.
    await operatePlugin(...given)
      .hooks[command]()
      .catch(({ message }: Error) => lines.push(...message.split('\n')));
    assert.ok(lines.length > 0);
    for (const line of lines) if (!Object.hasOwn(options, 'json')) assert.doesNotMatch(line, COMMANDS);
    return lines;
  };
  const [headings, row, hint, ...others] = await printed('status:run', {});
  assert.match(`${headings}\n${row}\n${hint}`, /^JOB .*\nmodels +a\\u001b.*\n"serverless status --job/);
  assert.deepEqual(others, []);
  const seen = await printed('status:run', { job: 'models' });
  assert.ok(
    seen.every((line) => /^[a-z ]{16}/.test(line)),
    seen.join('\n'),
  );
  for (const part of [/^lock +held by/, /^timer +paused since/, /^ +.*: a\\u001b/, / \(attempts: 1\)$/])
    assert.ok(
      seen.some((line) => part.test(line)),
      String(part),
    );
  const json = await printed('status:run', { json: true });
  assert.deepEqual(JSON.parse(json.join('\n')), [JSON.parse(JSON.stringify({ ...status, at }))]);
  const [, past, why] = await printed('history:run', {});
  assert.match(`${past}\n${why}`, / {2}a\\u001b.*\n {16,}a\\u001b/);
  const exitCode = process.exitCode;
  const differing = await printed('diff:run', { values: true });
  assert.equal(process.exitCode, 1);
  process.exitCode = exitCode;
  assert.match(differing.join('\n'), /a\\u001b.* at the source, .*a\\+u001b.* at the target/);
  const dry = await printed('backfill:run', { ids: 'a', 'dry-run': true });
  for (const part of [/: a\\u001b.*: a\\u001b/, /such as a\\u001b/])
    assert.ok(
      dry.some((line) => part.test(line)),
      `${part} in\n${dry.join('\n')}`,
    );
  const failed = await printed('backfill:run', { watch: 'a' });
  assert.match(failed.join('\n'), /window 1 of 2 is through/);
  assert.match(failed.join('\n'), /^failed: a\\u001b[\s\S]*--resume a\n[\s\S]*--ids '\["a\\u001b/m);
});
