import assert from 'node:assert/strict';
import { LockLostError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { newReport } from '../../lib/report.ts';
import { createMetrics, metricUnits } from '../../lib/run/metrics.ts';
import type { Observed } from '../../lib/run/observed.ts';
import type { Result } from '../../lib/run/result.ts';
import type { State } from '../../lib/state/state.ts';

/** A metric as CloudWatch knows it. */
export interface Told {
  namespace: string;
  name: string;
  dimensions: Record<string, string>;
}

const SKIPS = ['paused', 'duplicate', 'stale', 'min-interval', 'quota', 'resharding', 'locked'] as const;

/** All metrics that runs of this job tell: runs of each shard and by hand, each with every ending that it can have. */
export function toldMetrics({ stage, job, shards }: { stage: string; job: string; shards: number }): Told[] {
  const told = new Map<string, Told>();
  const log = { warn: (message: string) => assert.fail(message) } as unknown as Log;
  const tell = createMetrics({ stage, job }, log, (line) => {
    const { _aws, ...values } = JSON.parse(line);
    for (const { Namespace: namespace, Dimensions, Metrics } of _aws.CloudWatchMetrics)
      for (const set of Dimensions as string[][])
        for (const { Name: name, Unit: unit } of Metrics) {
          assert.equal(unit, metricUnits[name as keyof typeof metricUnits], `${name} has no unit in metricUnits`);
          const metric = { namespace, name, dimensions: Object.fromEntries(set.map((key) => [key, values[key]])) };
          told.set(nameOf(metric), metric);
        }
  });
  const at = '2026-11-24T12:00:00.000Z';
  const state: State = { consecutiveSkips: 0, removals: { withheld: 12, of: 100, at } };
  const report = newReport();
  const ticks = Array.from({ length: shards }, (_, index) => ({
    ...{ kind: 'tick' as const, ...(shards > 1 && { shard: { index, of: shards } }) },
  }));
  for (const request of [...ticks, { kind: 'backfill' as const, waitSeconds: 0, dryRun: false }]) {
    const known = { request, runId: 'run', startedMs: Date.now(), throttles: 0, settledPages: 1, state };
    const observed: Observed = { ...known, report };
    const result = (rest: Pick<Result, 'status' | 'reason'>) => ({ result: { job, runId: 'run', report, ...rest } });
    tell(observed, result({ status: 'completed' }));
    tell(observed, result({ status: 'partial', reason: 'deadline' }));
    if (request.kind === 'backfill') tell(observed, result({ status: 'partial', reason: 'yielded' }));
    for (const reason of SKIPS)
      if (request.kind === 'tick' || reason === 'resharding' || reason === 'locked')
        tell(known, result({ status: 'skipped', reason }));
    tell(observed, { error: new LockLostError('lost') });
    tell(known, { error: new Error('etcd is down') });
    if (request.kind === 'backfill')
      tell({ ...observed, backfillEnded: 'failed' }, result({ status: 'partial', reason: 'deadline' }));
  }
  return [...told.values()];
}

/** A metric by its name and dimensions. */
export const nameOf = ({ name, dimensions }: Pick<Told, 'name' | 'dimensions'>) =>
  [name, ...Object.entries(dimensions).map(([key, value]) => `${key}=${value}`)].join(' ');
