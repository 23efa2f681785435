import { setTimeout as sleep } from 'node:timers/promises';
import type { IRequestOp, IResponseOp } from 'etcd3';
import { CredentialsError, LockLostError } from '../errors.ts';
import type { Budget, Etcd } from './etcd.ts';
import { describeHolder, type Holder, hex, keysUnder, readHolder } from './holder.ts';
import type { Session } from './session.ts';

/** The lock while it is held. */
export interface Lock {
  /** The key's create revision, a decimal string: higher for each later holder of the same lock. */
  readonly fencingToken: string;
  /** What etcd answered to the reads that were sent along with the acquisition. */
  readonly reads: readonly IResponseOp[];
  /** Asks etcd whether the key is still there and the first of all. */
  isOwner(budget: Budget): Promise<boolean>;
  /**
   * Applies `operations` in one transaction, if the key is still ours.
   * @throws LockLostError when it is not; nothing was written then.
   */
  save(operations: IRequestOp[], budget: Budget): Promise<void>;
  /**
   * Applies `operations` and deletes the own key in one transaction, so that no later holder can see a state that is not
   * final. The first operation must put a value that only this run can have put: when the answer was lost and this was
   * sent again, finding that value tells that it had been done.
   * @throws LockLostError when the key was no longer ours; nothing was written then.
   */
  unlock(operations: [Put, ...IRequestOp[]], budget: Budget): Promise<void>;
}

export interface Put {
  request_put: { key: Buffer; value: Buffer };
}

export type Attempt = { lock: Lock } | { heldBy: Holder };

/**
 * Takes the lock if it is free, with the key layout of Go's `concurrency.Mutex` (`<lockKey>/<lease in hex>`, owner is the
 * lowest create revision), so that each excludes the other. Unlike Go's TryLock it puts the key only where there is none:
 * it never makes a third contender wait for a loser, and can be sent again when its answer was lost.
 * `reads` are answered as of the same revision, on both ways.
 */
export async function tryLock(
  etcd: Etcd,
  session: Session,
  options: { lockKey: string; value: string; reads: IRequestOp[] },
): Promise<Attempt> {
  const { lockKey, value, reads } = options;
  const key = ownKey(lockKey, session);
  const answer = await etcd.txn(
    'take the lock',
    {
      // A range compare on an empty range sees a create revision of 0; any key under the lock makes it fail.
      compare: [{ ...keysUnder(lockKey), target: 'Create', result: 'Equal', create_revision: '0' }],
      success: [{ request_put: { key, value: Buffer.from(value), lease: session.leaseId } }, ...reads],
      failure: [readHolder(lockKey), ...reads],
    },
    session.budget(),
  );
  session.check();
  const [first, ...answers] = answer.responses;
  if (answer.succeeded) return { lock: held(etcd, lockKey, key, answer.header.revision, answers) };
  const owner = first?.response_range.kvs[0];
  // Our own key is there when this was sent again because the first answer was lost.
  if (owner?.key.equals(key)) return { lock: held(etcd, lockKey, key, owner.create_revision, answers) };
  if (!owner) throw new LockLostError('etcd deleted the lock key while it was being taken');
  return { heldBy: describeHolder(owner) };
}

/**
 * Waits for the lock in Go's own queue, for at most `waitMs`: puts the own key, then asks twice a second who is first.
 * Gives the holder when the wait was in vain; the own key is deleted then.
 * @throws LockLostError when the session expires or its lease is revoked while waiting.
 */
export async function lock(
  etcd: Etcd,
  session: Session,
  options: { lockKey: string; value: string; reads: IRequestOp[]; waitMs: number; signal: AbortSignal },
): Promise<Attempt> {
  const { lockKey, value, reads, waitMs, signal } = options;
  const key = ownKey(lockKey, session);
  const giveUpAtMs = performance.now() + waitMs;
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
      const answer = await etcd.txn(
        'ask for the turn',
        { success: [readHolder(lockKey), { request_range: { key } }, ...reads] },
        session.budget(),
      );
      session.check();
      const [first, own, ...answers] = answer.responses;
      const owner = first?.response_range.kvs[0];
      const mine = own?.response_range.kvs[0];
      if (!owner || !mine) throw new LockLostError('the key that waits for the lock is gone: its lease has expired');
      if (owner.key.equals(key)) return { lock: held(etcd, lockKey, key, mine.create_revision, answers) };
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

function held(etcd: Etcd, lockKey: string, key: Buffer, revision: string, reads: readonly IResponseOp[]): Lock {
  const stillOurs = { key, target: 'Create', result: 'Equal', create_revision: revision } as const;
  /** Whom etcd refuses now, it has taken the lock from: nothing can be saved or freed any more. */
  const txn: Etcd['txn'] = async (...call) => {
    try {
      return await etcd.txn(...call);
    } catch (cause) {
      if (!(cause instanceof CredentialsError)) throw cause;
      throw new LockLostError(`etcd refuses a run that held the lock: ${cause.message}`, { cause });
    }
  };
  return {
    fencingToken: revision,
    reads,
    async isOwner(budget) {
      const answer = await txn('check the lock', { success: [readHolder(lockKey)] }, budget);
      const owner = answer.responses[0]?.response_range.kvs[0];
      return (owner?.key.equals(key) && owner.create_revision === revision) ?? false;
    },
    async save(operations, budget) {
      const answer = await txn('save the state', { compare: [stillOurs], success: operations }, budget);
      if (!answer.succeeded) throw new LockLostError('the lock key is gone, so the state was not saved');
    },
    async unlock(operations, budget) {
      const { key: recordKey, value: record } = operations[0].request_put;
      const answer = await txn(
        'unlock',
        {
          compare: [stillOurs],
          success: [...operations, { request_delete_range: { key } }],
          failure: [{ request_range: { key: recordKey } }],
        },
        budget,
      );
      const landed = answer.responses[0]?.response_range?.kvs[0]?.value.equals(record);
      if (!answer.succeeded && !landed) {
        throw new LockLostError('the lock key was gone before the final state was saved');
      }
    },
  };
}

const ownKey = (lockKey: string, session: Session) => Buffer.from(`${lockKey}/${hex(session.leaseId)}`);
