import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { showHistory } from '../../infra/operate/history.ts';
import { historyTable } from '../../infra/operate/history-table.ts';
import type { Jobs } from '../../infra/operate/jobs.ts';
import { Refusal } from '../../infra/terminal/refusal.ts';
import { newReport } from '../../lib/report.ts';
import type { PastRun, Status } from '../../lib/run/status.ts';

const at = (seconds: number) => new Date(Date.parse('2026-11-24T13:00:00Z') + seconds * 1000).toISOString();

/** A run that began at 13:00 and `from` seconds. */
function run(from: number, lasted: number, report: Partial<PastRun['report']>, more: Partial<PastRun> = {}): PastRun {
  return {
    ...{ runId: `run-${from}`, kind: 'tick', status: 'completed', fencingToken: '4711', host: 'vm' },
    ...{ startedAt: at(from), endedAt: at(from + lasted), report: { ...newReport(), ...report } },
    ...more,
  };
}

test('The last runs are a table, the newest first; columns in which nothing stands are left out.', () => {
  const lines = historyTable([run(120, 2, { read: 687, written: 1 }), run(60, 0.05, { read: 7, written: 7 })]);
  assert.deepEqual(lines, [
    'BEGAN (UTC)     KIND  STATUS     READ  WRITTEN   TOOK         TOKEN  WHO',
    '11-24 13:02:00  tick  completed   687        1  2.0 s  █████   4711  vm',
    '11-24 13:01:00  tick  completed     7        7  0.1 s  ▏       4711  vm',
  ]);
  assert.deepEqual(historyTable([]), ['no run yet']);
});

test('Skips, shards, who started a run, and why it did not complete are told.', () => {
  const error = { name: 'TargetDownError', code: 'TARGET_DOWN', message: '100 records in a row could not be written' };
  const lines = historyTable([
    run(
      300,
      900,
      { read: 1200, written: 400, unchanged: 798, removed: 2, failed: 2 },
      {
        ...{ kind: 'backfill', status: 'partial', reason: 'yielded', message: 'a tick waits for the lock' },
        ...{ shard: { index: 1, of: 3 }, startedBy: 'arn:aws:sts::111111111111:assumed-role/operators/anna' },
      },
    ),
    run(
      60,
      9,
      { read: 100 },
      {
        ...{ status: 'failed', reason: error.name, message: error.message, error, skipsBefore: 12 },
        ...{ shard: { index: 0, of: 3 }, removalsWithheld: 120 },
      },
    ),
    run(0, 300, { read: 3, invalid: 2, missing: 1 }, { shard: { index: 2, of: 3 } }),
  ]);
  assert.deepEqual(lines, [
    'BEGAN (UTC)     SHARD  KIND      STATUS     READ  WRITTEN  SAME  REMOVED  FAILED   TOOK',
    '11-24 13:05:00  1/3    backfill  partial    1200      400   798        2       2  900 s  █████',
    '                yielded; token 4711; by arn:aws:sts::111111111111:assumed-role/operators/anna; a ti…',
    '11-24 13:01:00  0/3    tick      failed      100        0     0        0       0  9.0 s  ▏',
    '                TargetDownError; 12 skips before; token 4711; 120 removals withheld; 100 records in…',
    '11-24 13:00:00  2/3    tick      completed     3        0     0        0       0  300 s  █▋',
    '                token 4711; 2 invalid; 1 missing',
  ]);
});

test('The skips before a run have a column where there is room, and a long name of who it was is cut.', () => {
  const lines = historyTable([
    run(60, 10, { read: 5, written: 5, unchanged: 1 }, { skipsBefore: 3 }),
    run(0, 10, { read: 5, written: 5 }, { kind: 'backfill', startedBy: 'arn:aws:iam::111111111111:user/anna' }),
  ]);
  assert.deepEqual(lines, [
    'BEGAN (UTC)     KIND      STATUS     READ  WRITTEN  SAME  TOOK         SKIPS  TOKEN  WHO',
    '11-24 13:01:00  tick      completed     5        5     1  10 s  █████      3   4711  vm',
    '11-24 13:00:00  backfill  completed     5        5     0  10 s  █████          4711  …1111:user/anna',
  ]);
});

test('Whatever runs say, no line is longer than 100 characters, and none commands the terminal or is a stranger’s.', () => {
  const text = fc.option(
    fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.constant('\u001b[2J\n\u202e😀'.repeat(30))),
    {
      nil: undefined,
    },
  );
  const count = fc.oneof(fc.constant(0), fc.nat(10_000_000));
  const entry = fc.record({
    ...{
      reason: text,
      message: text,
      startedBy: text,
      host: text,
      skipsBefore: fc.option(fc.nat(100_000), { nil: undefined }),
    },
    ...{ status: fc.constantFrom('completed', 'partial', 'failed'), kind: fc.constantFrom('tick', 'backfill') },
    ...{
      fencingToken: fc.bigInt({ min: 1n, max: 2n ** 63n }).map(String),
      removalsWithheld: fc.option(count, { nil: undefined }),
    },
    shard: fc.option(fc.constant({ index: 199, of: 200 }), { nil: undefined }),
    report: fc.record({ read: count, written: count, unchanged: count, removed: count, invalid: count, failed: count }),
    lasted: fc.nat(900),
  });
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 5 }), (entries) => {
      const history = entries.map(({ report, lasted, ...more }) => run(0, lasted, report, more as Partial<PastRun>));
      const [headings, ...lines] = historyTable(history);
      assert.match(headings!, /^BEGAN \(UTC\) .* STATUS +READ +WRITTEN .*TOOK/);
      for (const line of [headings!, ...lines]) {
        assert.ok(line.length <= 100, line);
        assert.match(line, /^(BEGAN| {16}\S|11-24 13:00:00)/);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a terminal must not receive
        assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\ud800-\udfff]/u);
      }
      assert.equal(lines.filter((line) => line.startsWith('11-24')).length, history.length);
    }),
    { numRuns: 300 },
  );
});

const jobsThat = (answers: Record<string, Partial<Status> | Error>): Jobs =>
  ({
    names: Object.keys(answers),
    shardsOf: () => 1,
    of: (job: string) => ({
      async control() {
        const answer = answers[job];
        if (answer instanceof Error) throw answer;
        return answer;
      },
    }),
  }) as unknown as Jobs;

async function shown(jobs: Jobs, names: string[], json: boolean) {
  const lines: string[] = [];
  const failure = await showHistory(jobs, names, json, (text) => lines.push(...[text].flat())).catch((error) => error);
  return { lines, failure };
}

test('Each job has its table; what does not answer, or is of an earlier version, says so.', async () => {
  const history = [run(0, 1, { read: 1, written: 1 })];
  const jobs = jobsThat({ models: { history }, old: {}, gone: new Refusal('gone-control could not be invoked') });
  const { lines, failure } = await shown(jobs, jobs.names, false);
  assert.deepEqual(lines, [
    ...['models:', ...historyTable(history)],
    ...['old:', 'no run yet'],
    ...['gone:', 'gone-control could not be invoked'],
  ]);
  assert.equal((failure as Refusal).message, 'no history of gone');
  assert.deepEqual((await shown(jobs, ['models'], false)).lines, historyTable(history));
  const json = await shown(jobs, ['models'], true);
  assert.deepEqual(JSON.parse(json.lines.join('\n')), [{ job: 'models', history }]);
  assert.equal(json.failure, undefined);
});
