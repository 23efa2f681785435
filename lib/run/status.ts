import type { Budget, Etcd } from '../lock/etcd.ts';
import { currentHolder, type Holder, unhex } from '../lock/holder.ts';
import { ask, both } from '../lock/query.ts';
import type { Settings } from '../settings/config.ts';
import type { Shard } from '../shard.ts';
import { shellQuoted } from '../shell-quoted.ts';
import type { Failure } from '../state/failures.ts';
import type { HistoryEntry } from '../state/history.ts';
import { withItsValue } from '../state/other-division.ts';
import type { Places } from '../state/places.ts';
import type { Pass, Removals, RunRecord } from '../state/schemas.ts';
import { currentState, type State } from '../state/state.ts';
import type { BackfillStatus } from './backfill-status.ts';
import { quotaNow } from './quota.ts';
import type { Skip } from './skip.ts';

/** One of the last runs, and the shard that it was of, where the job runs in shards. */
export type PastRun = HistoryEntry & { shard?: Shard };

/** The answer to every action, so that its effect is seen at once. */
export interface Status {
  job: string;
  stage: string;
  lockKey: string;
  /** Who holds the lock, or one of another number of shards, and until when unless the lease is kept alive. */
  heldBy?: Holder & { leaseRemainingSeconds?: number };
  /** What to do where the lock will not become free by itself. */
  advice?: string;
  paused: boolean;
  pause?: State['pause'];
  consecutiveSkips: number;
  lastRun?: RunRecord;
  lastCompletedStartedAt?: string;
  lastBackfill?: RunRecord;
  /** The last runs, newest first, of all shards; in a shard's own status none. */
  history: PastRun[];
  /** The last backfills that go on by themselves, newest first; in a shard's own status none. */
  backfills: BackfillStatus[];
  /** Until when ticks do nothing, because a server asks for a long pause. */
  notBefore?: string;
  /** Where the next pass begins to read, and when the last full one began. */
  watermark?: State['watermark'];
  /** The pass that the next tick goes on with. */
  unfinishedPass?: NonNullable<State['checkpoint']>['pass'];
  /** The first records that the timer's runs could not write, of all shards; in a shard's own status none. */
  failed: Failure[];
  /** How many they are; absent where there are none. */
  failedCount?: number;
  /** How many vanished records were not removed, because they are more than a pass may remove; absent where there are none. */
  removalsWithheld?: number;
  /** The same, of how many that the target holds, when that was found, and up to how many are approved. */
  removals?: State['removals'];
  /** Why an approval of removals has approved nothing. */
  notApproved?: string;
  /** Why a reset or an approval was refused: a run holds the lock. */
  skipped?: Skip;
  /** The status of each shard, where the job runs in shards. */
  shards?: Status[];
  /** How many shards there are, where the answer has no room for all. */
  shardCount?: number;
}

/** One status for all shards of a job: theirs, and what concerns all of them. */
export function together(
  { job, stage, lockKey }: Settings,
  parts: Status[],
  { failed, history }: Pick<Status, 'failed' | 'history'>,
): Status {
  const [first, ...others] = parts as [Status, ...Status[]];
  if (others.length === 0) return { ...first, failed, history };
  const failedCount = parts.reduce((sum, part) => sum + (part.failedCount ?? 0), 0);
  return {
    job,
    stage,
    lockKey,
    paused: first.paused,
    ...(first.pause && { pause: first.pause }),
    consecutiveSkips: Math.max(...parts.map(({ consecutiveSkips }) => consecutiveSkips)),
    failed,
    history,
    backfills: [],
    ...(failedCount > 0 && { failedCount }),
    ...describeRemovals(removalsTogether(parts)),
    shards: parts,
  };
}

/** @throws LockServiceError, CredentialsError, StateError */
export async function readStatus(etcd: Etcd, settings: Settings, places: Places, budget: Budget): Promise<Status> {
  const lockAndState = both(currentHolder(places.lockKey), currentState(places, { history: true }));
  const [own, state] = await ask(etcd, 'read status', lockAndState, budget);
  // While a lock of another number of shards is held, nobody takes ours.
  const holder = own ?? (state.otherDivision && (await withItsValue(etcd, state.otherDivision, budget)));
  const { run, backfill, pause, consecutiveSkips, checkpoint, watermark } = state;
  const quota = quotaNow(state, Date.now());
  return {
    job: settings.job,
    stage: settings.stage,
    lockKey: places.lockKey,
    ...(holder && (await describeLease(etcd, holder, budget))),
    paused: pause !== undefined,
    ...(pause && { pause }),
    consecutiveSkips,
    ...(run && { lastRun: run.last }),
    ...(run?.completedStartedAt && { lastCompletedStartedAt: run.completedStartedAt }),
    ...(backfill && { lastBackfill: backfill.last }),
    history: state.history?.runs ?? [],
    backfills: [],
    ...(quota && { notBefore: quota.until }),
    ...(watermark && { watermark }),
    ...(checkpoint?.pass && { unfinishedPass: withoutChanges(checkpoint.pass) }),
    failed: checkpoint?.failed ?? [],
    ...(checkpoint?.failed.length && { failedCount: checkpoint.failed.length }),
    ...describeRemovals(state.removals),
  };
}

const describeRemovals = (removals: State['removals']): Pick<Status, 'removals' | 'removalsWithheld'> =>
  removals ? { removalsWithheld: removals.withheld, removals } : {};

/** What all shards withhold, since the first of them did; approved where each of them is. */
function removalsTogether(parts: Status[]): State['removals'] {
  const all = parts.flatMap(({ removals }) => removals ?? []);
  if (all.length === 0) return undefined;
  const sum = (count: (removals: Removals) => number) => all.reduce((total, one) => total + count(one), 0);
  const approved = all.every(({ approvedUpTo }) => approvedUpTo !== undefined);
  return {
    withheld: sum(({ withheld }) => withheld),
    of: sum(({ of }) => of),
    at: all.map(({ at }) => at).sort()[0]!,
    ...(approved && { approvedUpTo: sum(({ approvedUpTo = 0 }) => approvedUpTo) }),
  };
}

/** They are for runs only, and there may be many. */
const withoutChanges = ({ changes: _, ...pass }: Pass): Pass => pass;

async function describeLease(etcd: Etcd, holder: Holder, budget: Budget): Promise<Pick<Status, 'heldBy' | 'advice'>> {
  if (holder.leaseId === '0') {
    return { heldBy: holder, advice: `the lock's key has no lease, so it stays until somebody ${howToDelete(holder)}` };
  }
  const leaseRemainingSeconds = await etcd.timeToLive(unhex(holder.leaseId), budget);
  return { heldBy: { ...holder, leaseRemainingSeconds } };
}

/** A command that is cut would delete another key, or none. */
const MAX_COMMAND_BYTES = 1000;

function howToDelete({ key }: Holder): string {
  const command = `etcdctl del ${shellQuoted(key)}`;
  if (Buffer.byteLength(command) <= MAX_COMMAND_BYTES) return `deletes it: ${command}`;
  return 'deletes it; its name is too long for a command here, "etcdctl get --prefix --keys-only" shows it';
}
