import type { Jobs } from '../../infra/operate/jobs.ts';
import { newReport, type Report } from '../../lib/report.ts';
import type { BackfillStatus } from '../../lib/run/backfill-status.ts';
import type { PastRun, Status } from '../../lib/run/status.ts';
import { mulberry32 } from '../support/random.ts';

const MINUTE_MS = 60_000;

const report = (counts: Partial<Report>): Report => ({ ...newReport(), ...counts });

/** What a job's runs of some hours look like: ticks every quarter of an hour, some skipped, some partial, some failed. */
export function sampleHistory(nowMs: number): PastRun[] {
  const random = mulberry32(7);
  const runs: PastRun[] = [];
  for (let index = 0; index < 44; index++) {
    // Nothing ran for a while, such as during a pause.
    const ago = (44 - index + (index < 17 ? 9 : 0)) * 15 * MINUTE_MS - 4 * MINUTE_MS;
    const startMs = nowMs - ago;
    const changed = Math.floor(60 + 500 * random() ** 3);
    const failed = index === 30 || index === 31;
    const partial = index === 12 || index === 38;
    const tookMs = failed ? 6000 : partial ? 290_000 : 4000 + changed * 90;
    const at = (ms: number) => new Date(ms).toISOString();
    runs.push({
      runId: `sample-${index}`,
      kind: index === 22 ? 'backfill' : 'tick',
      status: failed ? 'failed' : partial ? 'partial' : 'completed',
      startedAt: at(startMs),
      endedAt: at(startMs + tookMs),
      fencingToken: String(100 + 7 * index),
      report: report({
        ...{ read: changed + 4, written: failed ? 0 : changed, unchanged: 11_000 - changed, durationMs: tookMs },
        ...{ removed: index % 9 === 4 ? 3 : 0, failed: index > 33 && index < 39 ? 3 : 0 },
      }),
      ...(failed && {
        error: {
          name: 'TargetDownError',
          code: 'TARGET_DOWN',
          message: '100 records in a row were not taken: status 503',
        },
      }),
      ...(partial && { reason: 'deadline', message: 'the time of the invocation is used up' }),
      ...(index === 39 && { skipsBefore: 2 }),
      ...(index === 22 && { startedBy: 'jo' }),
    });
  }
  return runs.toReversed();
}

const backfill = (nowMs: number): BackfillStatus => ({
  ...{ id: 'a8f1', status: 'running', windows: 24, window: 15, shards: 1, shardsDone: 0, done: 0.64, attempts: 0 },
  counts: report({ read: 48_213, written: 48_001, unchanged: 210, failed: 2 }),
  ...{ rate: 812, startedBy: 'jo', failedCount: 2, failed: ['acme/model-9', 'acme/model-12'] },
  ...{ since: '2025-01-01T00:00:00.000Z', until: '2026-01-01T00:00:00.000Z' },
  startedAt: new Date(nowMs - 22 * MINUTE_MS).toISOString(),
  updatedAt: new Date(nowMs - 3000).toISOString(),
});

/** A job with something of everything. */
export function sampleStatus(job: string, nowMs: number): Status {
  const history = sampleHistory(nowMs);
  const [last] = history as [PastRun];
  return {
    ...{ job, stage: 'prod', lockKey: `/solotick/prod/${job}/lock`, paused: false, consecutiveSkips: 0 },
    lastRun: { ...last, report: last.report },
    lastCompletedStartedAt: last.startedAt,
    watermark: { at: last.startedAt, fullAt: new Date(nowMs - 20 * 3_600_000).toISOString() },
    ...{ history, backfills: [backfill(nowMs)] },
    failed: [
      { id: 'acme/model-9', attempts: 3 },
      { id: 'acme/model-12', attempts: 1 },
    ],
    failedCount: 2,
    removalsWithheld: 120,
    removals: { withheld: 120, of: 700, at: new Date(nowMs - 95 * MINUTE_MS).toISOString() },
    heldBy: {
      ...{
        runId: 'sample-run',
        kind: 'backfill',
        host: '10.0.3.17',
        key: `/solotick/prod/${job}/lock/1`,
        leaseId: '1',
      },
      ...{ startedAt: new Date(nowMs - 41_000).toISOString(), createRevision: '412', leaseRemainingSeconds: 13 },
    },
  };
}

/** Jobs whose functions answer with these statuses, and do nothing. */
export function jobsAnswering(statuses: Record<string, () => Status | Promise<Status>>): Jobs {
  const nothing = () => Promise.reject(new Error('a sample does nothing'));
  return {
    names: Object.keys(statuses),
    shardsOf: () => 1,
    of: (job) => ({ sync: nothing, backfill: nothing, control: async () => await statuses[job]!() }),
  };
}
