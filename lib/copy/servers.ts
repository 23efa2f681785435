import { msOf } from '../instant.ts';
import type { Job } from '../job-types.ts';
import type { Log } from '../log.ts';
import { openSource, type Source, type SourceServer } from '../read/source.ts';
import type { Shard } from '../shard.ts';
import { nameOf } from '../state/pass.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';
import type { Guard } from '../time/guard.ts';
import { openRehearsal } from '../write/rehearsal.ts';
import { type Fence, openTarget, type Target, type TargetServer } from '../write/target.ts';
import { countingChanges } from './changes.ts';
import { type Comparison, compareWith, isListed } from './comparison.ts';
import { noteDifferences } from './differences.ts';

/** What a pass needs to know of source and target. */
export interface Serving<R> {
  job: Job<R>;
  settings: {
    source: { url: string; timeoutMs: number };
    target: { url: string; timeoutMs: number };
    /** The job's own. */
    own: unknown;
    service: string;
    maxReadsPerSecond: number | undefined;
    maxWritesPerSecond: number | undefined;
  };
  concurrency: number;
  credentials: SourceServer['credentials'] & TargetServer['credentials'];
  pass: PassUnderWay;
  shard: Shard | undefined;
  /** Keeps older holders of the lock out of the target; without it this is a rehearsal, and nothing is written. */
  fence?: Fence;
  /** Called for each answer that throttles, and for each 503. */
  throttled?: () => void;
  log: Log;
}

/** Source and target of a pass. */
export interface Servers<R> {
  source: Source;
  /** What the target held when the pass began. */
  comparison: Comparison | undefined;
  target: Target<R>;
  /** Of a rehearsal. */
  differences: ReturnType<typeof noteDifferences> | undefined;
}

/**
 * Opens source and target, and reads what the target holds where the pass `compares`.
 * @param resources takes all that is opened
 * @throws what reading the target throws
 */
export async function openServers<R>(
  serving: Serving<R>,
  compares: boolean,
  guard: Guard,
  resources: AsyncDisposableStack,
): Promise<Servers<R>> {
  const { job, settings, concurrency, credentials, fence, throttled, pass, shard, log } = serving;
  const { id, deleted } = job;
  const agent = { service: settings.service, job: job.name };
  const asking = { credentials, guard, agent, throttled };
  const reading = { ...asking, settings: settings.own, perSecond: settings.maxReadsPerSecond };
  const source = resources.use(openSource(job.source, { ...settings.source, ...reading }));
  const ofTarget = { ...settings.target, ...reading };
  const comparison =
    compares && isListed(job.target)
      ? await compareWith(job.target, ofTarget, { shard: partOf(job, shard), log, insists: !fence }, resources)
      : undefined;
  const held = comparison?.held;
  const writing = {
    ...{ id, deleted, passName: () => nameOf(pass.current()), settings: settings.own, changes: countingChanges(pass) },
    updatedAtMs: updatedAtMsOf(job),
  };
  const differences = fence ? undefined : noteDifferences();
  const writes = { ...settings.target, ...asking, concurrency, perSecond: settings.maxWritesPerSecond };
  const target = resources.use(
    fence
      ? openTarget(job.target, writing, fence, writes, held)
      : openRehearsal(job.target, writing, held, differences?.differs),
  );
  return { source, comparison, target, differences };
}

/** When a record of the job changed, in ms since 1970; undefined where its records do not say. */
export function updatedAtMsOf<R>({ updatedAt }: Job<R>): ((record: R) => number) | undefined {
  return updatedAt && ((record) => msOf(updatedAt(record)));
}

/** A source that divides its records by itself may bring those of other parts of the target, so all of it is compared. */
const partOf = <R>({ source }: Job<R>, shard: Shard | undefined) => (source.sharded ? undefined : shard);
