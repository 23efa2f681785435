import type { IRequestOp, ITxnRequest } from 'etcd3';

/** What a list of operations writes, whichever branches its nested transactions take. */
interface Writes {
  puts: Set<string>;
  removes: { from: string; to: string }[];
}

/**
 * Whether a transaction puts a key twice, or puts one that it removes as well. etcd refuses such a transaction, whichever branch
 * it would take (checkIntervals in its server/etcdserver/api/v3rpc/key.go).
 */
export const writesTwice = ({ success = [], failure = [] }: ITxnRequest): boolean =>
  writesOf(success) === undefined || writesOf(failure) === undefined;

/** @returns undefined where it writes something twice */
function writesOf(operations: readonly IRequestOp[]): Writes | undefined {
  const puts = new Set<string>();
  const removes = operations.flatMap(({ request_delete_range: remove }) => (remove ? [rangeOf(remove)] : []));
  const isRemoved = (key: string) => removes.some(({ from, to }) => key >= from && key < to);
  for (const { request_txn: nested } of operations) {
    if (!nested) continue;
    const [ifSo, ifNot] = [writesOf(nested.success ?? []), writesOf(nested.failure ?? [])];
    if (!ifSo || !ifNot) return;
    for (const key of ifSo.puts) if (puts.has(key) || isRemoved(key)) return;
    // Only one of the branches is taken.
    for (const key of ifNot.puts) if (puts.has(key) || isRemoved(key)) return;
    for (const key of [...ifSo.puts, ...ifNot.puts]) puts.add(key);
    removes.push(...ifSo.removes, ...ifNot.removes);
  }
  for (const { request_put: put } of operations) {
    if (!put) continue;
    const key = text(put.key);
    if (puts.has(key) || isRemoved(key)) return;
    puts.add(key);
  }
  return { puts, removes };
}

function rangeOf({ key, range_end }: NonNullable<IRequestOp['request_delete_range']>) {
  const from = text(key);
  return { from, to: range_end?.length ? text(range_end) : `${from}\0` };
}

const text = (bytes: Uint8Array | string | undefined) => Buffer.from(bytes ?? '').toString('latin1');
