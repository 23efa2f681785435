import { FenceAheadError, SupersededError } from '../errors.ts';
import type { Budget } from '../lock/etcd.ts';
import type { Lock } from '../lock/mutex.ts';

/**
 * Finds out why the target refuses our fencing token; asked once, for all writes that it refuses. The target has seen a
 * higher token: a later holder's, or one from before etcd's revisions went back.
 * @param budget for the call to etcd
 */
export function whyFenced(lock: Lock, budget: () => Budget): () => Promise<Error> {
  let answer: Promise<Error> | undefined;
  return () => {
    answer ??= findReason();
    return answer;
  };

  async function findReason(): Promise<Error> {
    if (!(await lock.isOwner(budget()))) {
      return new SupersededError('the target has seen the token of a later run: the lock was lost and taken over');
    }
    return new FenceAheadError(
      `the target has seen a fencing token higher than ${lock.fencingToken}, although the lock is ours: etcd's revisions ` +
        'went back, as after a restore from a snapshot. Restore it with "etcdutl snapshot restore --bump-revision … ' +
        '--mark-compacted", or let the target forget the highest token of this scope',
    );
  }
}
