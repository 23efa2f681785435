import { EventError } from '../errors.ts';
import { nameOfShard, type Shard } from '../shard.ts';
import type { Removals } from '../state/schemas.ts';
import { putState } from '../state/state.ts';
import type { Change } from './change-state.ts';

/** A shard, or the whole job, and what it withholds. */
export interface Withholding {
  shard: Shard;
  statePrefix: string;
  removals: Removals | undefined;
}

/**
 * What an approval of up to so many removals changes, by shard. A job without shards is approved as many as were named, which
 * may be more or fewer than it withholds now; a shard as many as it withholds, if they are not more than were named together.
 * @param upTo 0 withdraws an approval
 * @returns the changes; or why nothing is approved
 * @throws EventError where nothing is withheld
 */
export function approvalOf(
  upTo: number,
  parts: readonly Withholding[],
): { changes: Map<Shard, Change> } | { refused: string } {
  const withholding = parts.flatMap(({ shard, statePrefix, removals }) =>
    removals ? [{ shard, statePrefix, withheld: removals.withheld }] : [],
  );
  if (withholding.length === 0) throw new EventError('no removals are withheld, so there is nothing to approve');
  const together = withholding.reduce((sum, { withheld }) => sum + withheld, 0);
  const divided = parts.length > 1;
  if (divided && upTo > 0 && together > upTo) {
    const each = withholding.map(({ shard, withheld }) => `${nameOfShard(shard)}: ${withheld}`);
    return { refused: `the shards withhold ${together} removals, which is more than ${upTo} (${each.join(', ')})` };
  }
  const changes = withholding.map(({ shard, statePrefix, withheld }) => {
    const approvedUpTo = upTo === 0 ? undefined : divided ? withheld : upTo;
    return [shard, approving(statePrefix, approvedUpTo)] as const;
  });
  return { changes: new Map(changes) };
}

const approving = (statePrefix: string, approvedUpTo: number | undefined): Change => ({
  kind: 'approve-removals',
  // A run may have removed the records since, or have found them again.
  operations: ({ removals }) => (removals ? [putState(statePrefix, 'removals', { ...removals, approvedUpTo })] : []),
});
