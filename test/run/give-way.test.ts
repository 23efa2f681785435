import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOnItsWay } from '../../lib/run/give-way.ts';
import type { State } from '../../lib/state/state.ts';

type Known = Parameters<typeof isOnItsWay>;

/** What is known of a lock: when a tick found it held, and which runs have held it last, each by a revision of etcd. */
function known(options: {
  wanted?: number;
  holder?: { kind: string; revision: number };
  tick?: number;
  backfill?: number;
}): Known {
  const { wanted, holder, tick, backfill } = options;
  const last = (token: number | undefined) =>
    token === undefined ? undefined : { last: { fencingToken: `${token}` } as NonNullable<State['run']>['last'] };
  return [
    wanted === undefined ? undefined : { revision: `${wanted}`, count: 1 },
    holder && { kind: holder.kind, createRevision: `${holder.revision}` },
    { run: last(tick), backfill: last(backfill) } as Known[2],
  ];
}

const backfill = (revision: number) => ({ kind: 'backfill', revision });

test('A tick is on its way that a backfill has found in its way, until a tick has held the lock.', () => {
  for (const [what, options, expected] of [
    ['no tick was ever in the way', { holder: backfill(5) }, false],
    ['it came while this backfill held the lock', { wanted: 9, holder: backfill(5) }, true],
    ['it came before this backfill', { wanted: 4, holder: backfill(5), tick: 3 }, false],
    ['the last backfill has made way', { wanted: 9, tick: 3, backfill: 5 }, true],
    ['a tick has held the lock since', { wanted: 9, tick: 10, backfill: 5 }, false],
    ['a tick holds the lock', { wanted: 9, holder: { kind: 'tick', revision: 10 }, tick: 3, backfill: 5 }, false],
    ['a backfill that had queued before has the lock now', { wanted: 9, holder: backfill(10), backfill: 5 }, true],
    ['that one, once the tick has run', { wanted: 9, holder: backfill(12), tick: 11, backfill: 5 }, false],
    ['revisions are compared as numbers', { wanted: 10, backfill: 9 }, true],
  ] as const)
    assert.equal(isOnItsWay(...known(options)), expected, what);
});
