import type { Put } from '../lock/mutex.ts';
import { allShards } from '../shard.ts';
import { lockKeyOf, type Places } from './places.ts';
import { MAX_EARLIER_DIVISIONS } from './schemas.ts';
import { putState, type State } from './state.ts';

/** The division of a job into shards that a run belongs to, and what was before it. */
export interface Division {
  /** Stores how the job is divided now; undefined where that is known. Belongs before the first write. */
  put: Put | undefined;
  /** The fencing scopes of earlier divisions that this lock's runs have not closed at the target yet. */
  openScopes: string[];
  /** Notes that the target has taken a write of ours in each of them. */
  closed(): void;
  /** The generation whose earlier scopes are closed, for the state that the run leaves. */
  closedGeneration(): number | undefined;
}

/**
 * Another number of shards means other locks, and so other fencing scopes, in which a late write of an old run would pass.
 * Each change of the number is a new generation. A lock's first run in it closes the scopes of the earlier divisions.
 *
 * @param state of the moment at which the lock was taken: while it is held, no lock of another division can be
 */
export function openDivision(places: Places, state: Pick<State, 'division' | 'run'>): Division {
  const division = divisionOf(places.shards, state.division);
  const { generation, earlier } = division;
  let closedGeneration = state.run?.closedGeneration ?? 0;
  const scopes = earlier.flatMap((of) => allShards(of).map((shard) => lockKeyOf(places.jobLockKey, shard)));
  return {
    put: division === state.division ? undefined : putState(places.jobStatePrefix, 'division', division),
    openScopes: closedGeneration === generation ? [] : scopes,
    closed() {
      closedGeneration = generation;
    },
    closedGeneration: () => closedGeneration || undefined,
  };
}

function divisionOf(shards: number, before: State['division']): NonNullable<State['division']> {
  if (before === undefined) return { shards, generation: 0, earlier: [] };
  if (before.shards === shards) return before;
  const earlier = [before.shards, ...before.earlier.filter((of) => of !== shards)];
  return { shards, generation: before.generation + 1, earlier: earlier.slice(0, MAX_EARLIER_DIVISIONS) };
}
