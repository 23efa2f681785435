import { NoProgressError } from '../../errors.ts';
import type { Operation } from '../../lock/query.ts';
import { afterStep, MAX_ATTEMPTS, underWay } from '../../state/after-step.ts';
import type { BackfillProgress, Detached } from '../../state/backfill-schemas.ts';
import { deleteBackfillIds, KEPT_SECONDS, putBackfill, putBackfillIds } from '../../state/backfills.ts';
import { approvalOf, type Leaving, type Reached, removalsOf } from '../../state/final-state.ts';
import { hasReadAll } from '../../state/pass.ts';
import type { PassUnderWay } from '../../state/pass-under-way.ts';
import type { RunRecord } from '../../state/schemas.ts';
import { putState, type State } from '../../state/state.ts';
import type { Chain } from './chain.ts';

/**
 * What a step of a detached backfill writes to etcd. Its event was one of the state's step or a later one. The next event is sent
 * before the transaction that unlocks: whatever ends this process, one event is left that goes on, and of two that are left the
 * second finds a higher step.
 */
export function leavingOfStep(options: {
  prefix: string;
  backfillId: string;
  step: number;
  /** The state under which the step took the lock. */
  state: Pick<State, 'backfillProgress' | 'backfillIds'>;
  pass: Pick<PassUnderWay, 'settledPages' | 'advanced'>;
  chain: Chain;
  /** Grants a lease that is not kept alive. */
  grant(seconds: number): Promise<string>;
}): Leaving {
  const { prefix, backfillId, step, state, pass, chain, grant } = options;
  const before = state.backfillProgress!.detached!;
  const attempt = { ...before, attempts: before.attempts + 1 };
  /** Pages that are read once more are no progress: a step that never gets beyond them has to be given up. */
  const settledPages = () => (pass.advanced() ? pass.settledPages() : 0);
  const put = (progress: BackfillProgress, lease?: string) => putBackfill(prefix, backfillId, progress, lease);

  return {
    begin() {
      if (before.attempts >= MAX_ATTEMPTS) {
        const { lastError } = before;
        const why = lastError ? `, at last because of ${lastError.name}: ${lastError.message}` : '';
        throw new NoProgressError(`the backfill was begun ${before.attempts} times without settling a page${why}`);
      }
      return [put({ ...state.backfillProgress!, detached: { ...attempt, updatedAt: new Date().toISOString() } })];
    },

    progress({ pass: reached, failed }) {
      const detached = underWay(attempt, settledPages(), new Date().toISOString());
      return put({ pass: reached, failed, detached });
    },

    async final(last: RunRecord, reached: Reached) {
      const { failed, quota, reason } = reached;
      const throughWindow = last.status === 'completed';
      // After an error at its end the window begins again.
      const beginsAgain = last.status === 'failed' && hasReadAll(reached.pass);
      const arrived = reached.givenUp.filter((id) => !failed.some((one) => one.id === id));
      let detached = afterStep(attempt, step, {
        ...{
          last,
          reason,
          quotaUntil: quota?.until,
          pass: reached.pass,
          settledPages: beginsAgain ? 0 : settledPages(),
        },
        // Nobody comes back to a window that is through.
        givenUp: throughWindow ? reached.givenUp : arrived,
      });
      const record = putState(prefix, 'backfill', { last, quota });
      const removals = throughWindow ? removalsOf(prefix, reached) : approvalOf(prefix, reached);
      const progress = { failed: throughWindow ? [] : failed, ...(!throughWindow && { pass: reached.pass }) };
      if (detached.status === 'running') {
        // Without the next event this one has to be delivered again, and must not be an old one then.
        if (!(await chain.sendNext(detached.step))) detached = { ...detached, step: before.step };
        return [record, put({ ...progress, detached }), ...removals];
      }
      chain.ended = detached.status;
      const lease = await grant(KEPT_SECONDS);
      return [record, put({ ...progress, detached }, lease), ...idsAtTheEnd(detached, lease), ...removals];
    },
  };

  /** One that has failed or was cancelled may go on. */
  function idsAtTheEnd({ status }: Detached, lease: string): Operation[] {
    const { backfillIds } = state;
    if (!backfillIds) return [];
    return [
      status === 'completed'
        ? deleteBackfillIds(prefix, backfillId)
        : putBackfillIds(prefix, backfillId, backfillIds, lease),
    ];
  }
}
