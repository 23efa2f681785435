import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundError, bounded } from '../lib/bounded.ts';
import * as errors from '../lib/errors.ts';
import { boundedFields, createLog } from '../lib/log.ts';
import { problemNotes } from '../lib/report.ts';

test('A text within its bound stays as it is; a longer one ends with its length, at the end of a whole character.', () => {
  assert.equal(bounded('a'.repeat(2000)), 'a'.repeat(2000));
  assert.equal(bounded('ü'.repeat(1000)), 'ü'.repeat(1000));
  const cut = bounded('🙂'.repeat(501));
  assert.match(cut, /^(🙂)+… \(2004 bytes\)$/u);
  assert.ok(Buffer.byteLength(cut) > 1990 && Buffer.byteLength(cut) <= 2000);
  assert.equal(bounded('abc\ud800'.repeat(10), 20), 'abc\ud800… (60 bytes)');
});

test('Every error keeps its message to 2,000 bytes, and so does its stack, whatever the message quotes.', () => {
  const long = '\u0001ü'.repeat(1_000_000);
  const { Interrupted, HttpError, SolotickError, ...rest } = errors;
  const thrown = [
    new Interrupted('deadline', long),
    new HttpError(long, true),
    ...Object.values(rest).map((Kind) => new Kind(long)),
  ];
  assert.ok(thrown.length > 12);
  for (const error of thrown) {
    assert.ok(Buffer.byteLength(error.message) <= 2000, error.name);
    assert.match(error.message, /… \(3000000 bytes\)$/);
    assert.ok((error.stack?.length ?? 0) < 8000, error.name);
    assert.ok(error instanceof SolotickError || error instanceof HttpError);
  }
});

/** The line that the logger writes. */
function lineOf(write: (log: ReturnType<typeof createLog>) => void): string {
  const lines: string[] = [];
  const log = createLog('models');
  const { console } = log as unknown as { console: Record<string, unknown> };
  Object.assign(log, { console: { ...console, error: (line: string) => lines.push(line) } });
  write(log);
  assert.equal(lines.length, 1);
  return lines[0]!;
}

test('A line of the log stays small whatever is logged, and its first fields are in it.', () => {
  const long = 'x'.repeat(1_500_000);
  const cause = Object.assign(new Error(long), { input: Array.from({ length: 100_000 }, () => ({ [long]: long })) });
  const error = new Error(`strange ${long}`, { cause });
  for (const fields of [
    { error },
    { heldBy: { key: long, runId: long } },
    { list: Array.from({ length: 200_000 }, (_, index) => index) },
    { list: Array.from({ length: 200_000 }, () => [{}]) },
    Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`field${index}`, long])),
  ]) {
    const line = lineOf((log) => log.error('it failed', fields));
    assert.ok(line.length < 64_000, `${line.length} characters`);
    const { level, message, job } = JSON.parse(line);
    assert.deepEqual([level, message, job], ['ERROR', 'it failed', 'models']);
  }
  assert.match(
    JSON.parse(lineOf((log) => log.error('no', { error }))).error.message,
    /^strange x+… \(1500008 bytes\)$/,
  );
  assert.equal(JSON.stringify({ data: 'a', b: 'c' }, boundedFields()), '{"data":"left out","b":"c"}');
});

test('A problem with a record names its id and its reason within a bound.', () => {
  const problems: Parameters<typeof problemNotes>[0] = [];
  const log = createLog('models');
  Object.assign(log, { console: { warn() {} } });
  problemNotes(problems, log)({ id: 'i'.repeat(1_500_000), kind: 'invalid', reason: 'r'.repeat(1_500_000) });
  assert.match(problems[0]!.id, /^i+… \(1500000 bytes\)$/);
  assert.ok(JSON.stringify(problems).length < 4000);
});

test('What a job’s own code throws is answered as it is where it is short, and otherwise under its name with its beginning.', () => {
  const usual = new TypeError('no such field');
  assert.equal(boundError(usual), usual);
  const long = 'x\n    at nowhere '.repeat(200_000);
  const failed = boundError(Object.assign(new RangeError(long), { input: long }));
  assert.deepEqual([failed.name, Object.keys(failed)], ['RangeError', ['name']]);
  assert.match(failed.message, /^x\n[\s\S]* \(3400000 bytes\)$/);
  assert.ok(failed.message.length <= 2000 && failed.stack!.length < 6000, `${failed.stack?.length}`);
  assert.match(failed.stack ?? '', /^RangeError: x[\s\S]*\n {4}at /);
  assert.equal(boundError('just text').message, 'just text');
});
