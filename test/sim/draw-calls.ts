import type { ICompare, IRangeRequest, IRequestOp, ITxnRequest } from 'etcd3';
import type { Draw } from './draw.ts';

/** One call to etcd, as `lib/lock/etcd` makes them. */
export type Call =
  | { kind: 'txn'; request: ITxnRequest }
  | { kind: 'grant'; id: string; ttlSeconds: number }
  | { kind: 'keep-alive' | 'revoke' | 'time-to-live'; id: string };

/** Few keys and values, so that calls meet. `a/` and its like are what lies under a lock. */
const KEYS = ['a', 'a/1', 'a/2', 'a0', 'b', 'b/1'];
const VALUES = ['', 'x', 'y'];
const RESULTS = ['Equal', 'Greater', 'Less', 'NotEqual'] as const;

/**
 * Draws a sequence of calls.
 * @param world.prefix is that of all its keys
 * @param world.leaseIds are all its leases; some are never granted
 * @param world.revision is etcd's before the first call
 */
export function drawCalls(draw: Draw, world: { prefix: string; leaseIds: string[]; revision: number }): Call[] {
  const { prefix, leaseIds, revision } = world;
  const key = () => Buffer.from(prefix + draw.one(KEYS));
  const revisionOr0 = () => String(draw.chance(0.5) ? 0 : revision + draw.from(0, 8));

  /** One key, those under it, all from it on, or none, because the end lies before the beginning. */
  function range(): Pick<IRangeRequest, 'key' | 'range_end'> {
    const from = draw.one(KEYS);
    const end = draw.one(['', '', `${from}0`, draw.one(KEYS), 'zz']);
    return { key: Buffer.from(prefix + from), ...(end && { range_end: Buffer.from(prefix + end) }) };
  }

  function compare(): ICompare {
    const target = draw.one(['Version', 'Create', 'Mod', 'Value', 'Lease'] as const);
    const where = draw.chance(0.3) ? range() : { key: key() };
    const wanted = {
      Version: { version: String(draw.from(0, 3)) },
      Create: { create_revision: revisionOr0() },
      Mod: { mod_revision: revisionOr0() },
      Value: { value: Buffer.from(draw.one(VALUES)) },
      Lease: { lease: draw.one(['0', ...leaseIds]) },
    }[target];
    return { ...where, target, result: draw.one(RESULTS), ...wanted };
  }

  function operation(mayNest: boolean): IRequestOp {
    const kind = draw.one(['range', 'range', 'put', 'put', 'put', 'remove', mayNest ? 'txn' : 'range']);
    if (kind === 'txn') return { request_txn: txn(false) };
    if (kind === 'remove') return { request_delete_range: { ...range(), prev_kv: draw.chance(0.5) } };
    if (kind === 'put') {
      const lease = draw.chance(0.4) ? { lease: draw.one(leaseIds) } : {};
      return {
        request_put: { key: key(), value: Buffer.from(draw.one(VALUES)), prev_kv: draw.chance(0.3), ...lease },
      };
    }
    return {
      request_range: {
        ...range(),
        limit: draw.one([0, 0, 1, 2]),
        ...draw.one([{}, { keys_only: true }, { count_only: true }]),
        ...draw.one([{}, { sort_target: 'Create', sort_order: draw.one(['None', 'Ascend', 'Descend'] as const) }]),
      } as IRangeRequest,
    };
  }

  function txn(mayNest: boolean): ITxnRequest {
    const operations = (most: number) => Array.from({ length: draw.from(0, most) }, () => operation(mayNest));
    return {
      compare: Array.from({ length: draw.one([0, 1, 1, 2]) }, compare),
      success: operations(3),
      failure: operations(2),
    };
  }

  function call(): Call {
    const id = draw.one(leaseIds);
    const kind = draw.one(['txn', 'txn', 'txn', 'txn', 'grant', 'keep-alive', 'revoke', 'time-to-live'] as const);
    if (kind === 'txn') return { kind, request: txn(true) };
    if (kind === 'grant') return { kind, id, ttlSeconds: draw.one([1, 2, 5, 600]) };
    return { kind, id };
  }

  // The first lease is there from the beginning, and long enough for any sequence.
  const granted: Call = { kind: 'grant', id: leaseIds[0]!, ttlSeconds: 600 };
  return [granted, ...Array.from({ length: draw.from(3, 12) }, call)];
}
