import { setTimeout as sleep } from 'node:timers/promises';
import type { IRequestOp } from 'etcd3';
import { CredentialsError, LockLostError } from '../errors.ts';
import type { Budget, Etcd } from './etcd.ts';
import { describeHolder, firstKey, type Holder, hex, keysUnder } from './holder.ts';
import { ask, both, keyValue, nothing, type Query } from './query.ts';
import type { Session } from './session.ts';

/**
 * The key layout is that of Go's `concurrency.Mutex`: a contender puts `<lockKey>/<its lease in hex>`, and the owner is the
 * key with the lowest create revision.
 *
 *   free ── tryLock or lock: put the own key ──▶ held ── unlock: save the final state, delete the own key ──▶ free
 *                                                 └───── the lease ends: etcd deletes the own key ──────────▶ free
 *
 *   const attempt = await tryLock(etcd, session, { lockKey, value: 'me', read: currentHolder(other) });
 *   if ('heldBy' in attempt) return attempt.heldBy;
 *   await attempt.lock.unlock([finalState], session.budget());
 */

/** The lock while it is held. */
export interface Lock {
  /** The key's create revision, a decimal string: higher for each later holder of the same lock. */
  readonly fencingToken: string;
  /** Asks etcd whether the key is still there and still the first. */
  isOwner(budget: Budget): Promise<boolean>;
  /**
   * Applies `operations` in one transaction, if the key is still ours.
   * @param read goes along in the same transaction
   * @throws LockLostError when it is not; nothing was written then.
   */
  save<T = undefined>(operations: IRequestOp[], budget: Budget, read?: Query<T>): Promise<T>;
  /**
   * Applies `operations` and deletes the own key in one transaction, so that no later holder can see a state that is not
   * final. The first operation must put a value that only this run can put: when the answer was lost and the transaction is
   * sent again, finding that value proves that the first one was applied.
   * @param read goes along in the same transaction; where it was sent again, the answer is of the last time
   * @throws LockLostError when the key was no longer ours; nothing was written then.
   */
  unlock<T = undefined>(operations: [Put, ...IRequestOp[]], budget: Budget, read?: Query<T>): Promise<T>;
}

export interface Put {
  request_put: { key: Buffer; value: Buffer };
}

/** `found` is the answer to the query that went along, as of the revision at which the lock was taken. */
export type Attempt<T> = { lock: Lock; found: T } | { heldBy: Holder };

/**
 * Takes the lock if it is free. Unlike Go's TryLock it puts the key only where there is none: it never makes a third
 * contender wait for a loser, and it can be sent again when its answer was lost.
 * @param options.value what the key says about its holder
 * @param options.read goes along in the same transaction
 */
export async function tryLock<T>(
  etcd: Etcd,
  session: Session,
  options: { lockKey: string; value: string; read: Query<T> },
): Promise<Attempt<T>> {
  const { lockKey, value, read } = options;
  const key = keyOf(lockKey, session);
  const holder = firstKey(lockKey);
  const answer = await etcd.txn(
    'take the lock',
    {
      // A range compare on an empty range sees a create revision of 0; any key under the lock makes it fail.
      compare: [{ ...keysUnder(lockKey), target: 'Create', result: 'Equal', create_revision: '0' }],
      success: [{ request_put: { key, value: Buffer.from(value), lease: session.leaseId } }, ...read.operations],
      failure: [...holder.operations, ...read.operations],
    },
    session.budget(),
  );
  session.check();
  const [own, ...answers] = answer.responses;
  if (answer.succeeded) return { lock: held(etcd, lockKey, key, answer.header.revision), found: read.decode(answers) };
  const owner = holder.decode(own ? [own] : []);
  if (!owner) throw new LockLostError('etcd deleted the lock key while it was being taken');
  // Our own key is there when the first answer was lost and the transaction was sent again.
  if (owner.key.equals(key)) {
    return { lock: held(etcd, lockKey, key, owner.create_revision), found: read.decode(answers) };
  }
  return { heldBy: describeHolder(owner) };
}

/**
 * Waits for the lock in Go's own queue, for at most `waitMs`: puts the own key, then asks twice a second whether it is the
 * first. Returns the holder when the wait was in vain; the own key is deleted by then.
 * @throws LockLostError when the session expires or its lease is revoked while waiting.
 */
export async function lock<T>(
  etcd: Etcd,
  session: Session,
  options: { lockKey: string; value: string; read: Query<T>; waitMs: number; signal: AbortSignal },
): Promise<Attempt<T>> {
  const { lockKey, value, read, waitMs, signal } = options;
  const key = keyOf(lockKey, session);
  const giveUpAtMs = performance.now() + waitMs;
  const turn = both(firstKey(lockKey), keyValue(key));
  const wanted = { success: [...turn.operations, ...read.operations] };
  try {
    await etcd.txn(
      'queue for the lock',
      {
        compare: [{ key, target: 'Create', result: 'Equal', create_revision: '0' }],
        success: [{ request_put: { key, value: Buffer.from(value), lease: session.leaseId } }],
      },
      session.budget(),
    );
    for (;;) {
      const { responses } = await etcd.txn('ask for the turn', wanted, session.budget());
      session.check();
      const [owner, own] = turn.decode(responses);
      if (!owner || !own) throw new LockLostError('the key that waits for the lock is gone: its lease has expired');
      if (owner.key.equals(key)) {
        const found = read.decode(responses.slice(turn.operations.length));
        return { lock: held(etcd, lockKey, key, own.create_revision), found };
      }
      if (performance.now() >= giveUpAtMs || signal.aborted) {
        await leave();
        return { heldBy: describeHolder(owner) };
      }
      await sleep(500, undefined, { signal: AbortSignal.any([signal, session.signal]) }).catch(() => undefined);
      session.check();
    }
  } catch (error) {
    await leave().catch(() => undefined);
    throw error;
  }

  async function leave() {
    await etcd.txn('leave the queue', { success: [{ request_delete_range: { key } }] }, session.budget());
  }
}

function held(etcd: Etcd, lockKey: string, key: Buffer, revision: string): Lock {
  const stillOurs = { key, target: 'Create', result: 'Equal', create_revision: revision } as const;

  /** Losing access mid-run means losing the lock: we can neither save nor release. */
  async function orLost<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (cause) {
      if (!(cause instanceof CredentialsError)) throw cause;
      throw new LockLostError(`etcd refuses a run that held the lock: ${cause.message}`, { cause });
    }
  }

  return {
    fencingToken: revision,
    async isOwner(budget) {
      const owner = await orLost(ask(etcd, 'check the lock', firstKey(lockKey), budget));
      return (owner?.key.equals(key) && owner.create_revision === revision) ?? false;
    },
    async save<T>(operations: IRequestOp[], budget: Budget, read = nothing as Query<T>) {
      const request = { compare: [stillOurs], success: [...operations, ...read.operations] };
      const { succeeded, responses } = await orLost(etcd.txn('save the state', request, budget));
      if (!succeeded) throw new LockLostError('the lock key is gone, so the state was not saved');
      return read.decode(responses.slice(operations.length));
    },
    async unlock<T>(operations: [Put, ...IRequestOp[]], budget: Budget, read = nothing as Query<T>) {
      const { key: recordKey, value: record } = operations[0].request_put;
      const landed = both(keyValue(recordKey), read);
      const request = {
        compare: [stillOurs],
        success: [...operations, { request_delete_range: { key } }, ...read.operations],
        failure: landed.operations,
      };
      const { succeeded, responses } = await orLost(etcd.txn('unlock', request, budget));
      if (succeeded) return read.decode(responses.slice(operations.length + 1));
      const [found, answer] = landed.decode(responses);
      if (!found?.value.equals(record))
        throw new LockLostError('the lock key was gone before the final state was saved');
      return answer;
    },
  };
}

const keyOf = (lockKey: string, session: Session) => Buffer.from(`${lockKey}/${hex(session.leaseId)}`);
