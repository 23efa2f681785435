import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { LockLostError, SupersededError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Settings } from '../settings/config.ts';
import type { State } from '../state/state.ts';
import type { Observed } from './observed.ts';
import type { Result } from './result.ts';

/** Receives how a run has ended: with a result, or with an error. */
export type ReportMetrics = (observed: Observed, ending: { result: Result } | { error: unknown }) => void;

const { Count, Milliseconds, Seconds } = MetricUnit;

/** Every metric by name, with its unit; the alarms and the dashboard in `infra` use no others of this namespace. */
export const metricUnits = {
  Completed: Count,
  Partial: Count,
  Skipped: Count,
  Errored: Count,
  SkippedPaused: Count,
  SkippedDuplicate: Count,
  SkippedStale: Count,
  SkippedMinInterval: Count,
  SkippedQuota: Count,
  SkippedResharding: Count,
  SkippedLocked: Count,
  /** Only for a backfill that made way for a tick. */
  Yielded: Count,
  /** 1 for a completed tick and for a partial one that moved forward, otherwise 0. The dead man's switch counts it. */
  Success: Count,
  ConsecutiveSkips: Count,
  SecondsSinceSuccess: Seconds,
  /** The age of the unfinished pass; 0 when there is none. */
  CheckpointAgeSeconds: Seconds,
  RecordsRead: Count,
  RecordsWritten: Count,
  RecordsRemoved: Count,
  RecordsInvalid: Count,
  RecordsFailed: Count,
  /** Only while there are any. */
  RemovalsWithheld: Count,
  DurationMs: Milliseconds,
  PeakInFlight: Count,
  Throttles: Count,
  LockLost: Count,
  /** 1 where a detached backfill was given up, 0 where it has ended otherwise. */
  BackfillFailed: Count,
} as const;

type Name = keyof typeof metricUnits;
type Values = Partial<Record<Name, number>>;

const NAMESPACE = 'solotick';

/** Reported for each shard as well. Each costs as much as a metric of the whole job. */
const SHARD_METRICS: readonly Name[] = ['Success', 'ConsecutiveSkips', 'DurationMs'];

const skipMetrics: Record<string, Name> = {
  paused: 'SkippedPaused',
  duplicate: 'SkippedDuplicate',
  stale: 'SkippedStale',
  'min-interval': 'SkippedMinInterval',
  quota: 'SkippedQuota',
  resharding: 'SkippedResharding',
  locked: 'SkippedLocked',
};

const outcomes: Record<string, Name> = { completed: 'Completed', partial: 'Partial', skipped: 'Skipped' };

/**
 * Metrics in CloudWatch's embedded format: one line of JSON for each run
 * (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
 * Ticks have the dimensions `stage` and `job`, and `shard` besides; backfills have `kind` as well, so that none of their
 * metrics is ever taken for the timer's. Never throws: a failure is logged.
 */
export function createMetrics(
  { stage, job }: Pick<Settings, 'stage' | 'job'>,
  log: Log,
  // Not console.log: Lambda would put a prefix before the line.
  print: (line: string) => void = (line) => process.stdout.write(`${line}\n`),
): ReportMetrics {
  const metrics = new Metrics({ namespace: NAMESPACE });
  // A default dimension of Powertools would only make a second metric of the same thing.
  metrics.clearDefaultDimensions();
  metrics.setDefaultDimensions({ stage, job });

  return (observed, ending) => {
    try {
      const { runId, request } = observed;
      if (request.kind === 'backfill') metrics.addDimensions({ kind: request.kind });
      for (const [name, value] of Object.entries(valuesOf(observed, ending, Date.now()))) {
        metrics.addMetric(name, metricUnits[name as Name], value);
      }
      metrics.addMetadata('runId', runId);
      const emf = metrics.serializeMetrics();
      const { shard } = request;
      if (shard && request.kind === 'tick') {
        const { Metrics: all = [] } = emf._aws.CloudWatchMetrics[0] ?? {};
        emf._aws.CloudWatchMetrics.push({
          Namespace: NAMESPACE,
          Dimensions: [['stage', 'job', 'shard']],
          Metrics: all.filter(({ Name }) => SHARD_METRICS.includes(Name as Name)) as typeof all,
        });
      }
      print(JSON.stringify({ ...emf, ...(shard && { shard: `${shard.index}-of-${shard.of}` }) }));
    } catch (error) {
      log.warn('the metrics were not written', { error });
    } finally {
      metrics.clearMetrics();
      metrics.clearDimensions();
      metrics.clearMetadata();
    }
  };
}

function valuesOf(observed: Observed, ending: Parameters<ReportMetrics>[1], nowMs: number): Values {
  const { request, report, throttles, startedMs, backfillEnded } = observed;
  const result = 'result' in ending ? ending.result : undefined;
  const error = 'error' in ending ? ending.error : undefined;
  const lockLost = error instanceof LockLostError || error instanceof SupersededError;
  const reason = result?.status === 'skipped' ? skipMetrics[result.reason ?? ''] : undefined;
  return {
    [result ? outcomes[result.status]! : 'Errored']: 1,
    ...(reason && { [reason]: 1 }),
    ...(result?.reason === 'yielded' && { Yielded: 1 }),
    ...(request.kind === 'tick' && timerValues(observed, result, nowMs)),
    ...(report && {
      RecordsRead: report.read,
      RecordsWritten: report.written,
      RecordsRemoved: report.removed,
      RecordsInvalid: report.invalid,
      RecordsFailed: report.failed,
      DurationMs: Math.max(0, nowMs - startedMs),
      PeakInFlight: report.peakInFlight,
      Throttles: throttles,
    }),
    ...((report || lockLost) && { LockLost: lockLost ? 1 : 0 }),
    ...(backfillEnded && { BackfillFailed: backfillEnded === 'failed' ? 1 : 0 }),
  };
}

/** What concerns the timer as such; reported for its skips as well. */
function timerValues(observed: Observed, result: Result | undefined, nowMs: number): Values {
  const { state, skipsInARow, startedMs, removalsLetThrough } = observed;
  const success = result !== undefined && isSuccess(result, observed.settledPages);
  const lastSuccess = success ? nowMs : lastSuccessMs(state);
  const completed = result?.status === 'completed';
  // Those of an earlier pass still wait, so that the alarm lasts until a pass has removed them or found them again.
  const withheld = result?.removalsWithheld ?? (removalsLetThrough ? undefined : state?.removals?.withheld);
  const passStarted = state?.checkpoint?.pass?.startedAt;
  const passStartedMs = passStarted ? Date.parse(passStarted) : observed.report ? startedMs : nowMs;
  return {
    Success: success ? 1 : 0,
    ...(withheld !== undefined && { RemovalsWithheld: withheld }),
    ...(lastSuccess !== undefined && { SecondsSinceSuccess: secondsSince(lastSuccess, nowMs) }),
    ...(state && {
      // While the job is paused nobody finds out whether the lock is still held.
      ConsecutiveSkips: observed.report || state.pause ? 0 : (skipsInARow ?? state.consecutiveSkips),
      CheckpointAgeSeconds: completed ? 0 : secondsSince(passStartedMs, nowMs),
    }),
  };
}

/**
 * A partial run that settled records, and a page with them, is a success as well: the next one goes on behind that page. Failed
 * records do not count, because each run tries them again.
 */
function isSuccess(
  { status, report: { written, unchanged, removed, invalid, missing } }: Result,
  settledPages: number,
): boolean {
  if (status === 'completed') return true;
  return status === 'partial' && settledPages > 0 && written + unchanged + removed + invalid + missing > 0;
}

function lastSuccessMs(state: State | undefined): number | undefined {
  const { last, completedStartedAt } = state?.run ?? {};
  const at = last && last.status !== 'failed' ? last.endedAt : completedStartedAt;
  return at === undefined ? undefined : Date.parse(at);
}

const secondsSince = (ms: number, nowMs: number) => Math.max(0, Math.round((nowMs - ms) / 1000));
