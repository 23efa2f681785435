import * as v from 'valibot';
import type { Operation } from '../lock/query.ts';
import { putValue } from './values.ts';

/** The vanished records that the last full pass has left, packed: the next one removes those that it does not find either. */
export const waiting = v.object({ ids: v.string() });

const HASH_BYTES = 8;

/** With 8 bytes each as base64, this is 107 kB of the 1.5 MB that etcd takes in one request. */
export const MAX_WAITING = 10_000;

/** Packs ids by their `idHash` for etcd. */
export function packWaiting(ids: readonly string[]): string {
  return Buffer.from(ids.join(''), 'hex').toString('base64');
}

/** Unpacks what `packWaiting` has packed; anything else is as good as nothing: the records wait for one more pass. */
export function unpackWaiting(packed = ''): Set<string> {
  const bytes = Buffer.from(packed, 'base64');
  const ids = new Set<string>();
  for (let at = 0; at + HASH_BYTES <= bytes.length; at += HASH_BYTES)
    ids.add(bytes.toString('hex', at, at + HASH_BYTES));
  return ids;
}

export const waitingKey = (prefix: string) => `${prefix}waiting`;

/** The operation that stores the vanished records that wait for the next full pass, or that there are none. */
export const putWaiting = (prefix: string, ids: readonly string[]): Operation =>
  ids.length > 0
    ? putValue(waitingKey(prefix), { ids: packWaiting(ids) })
    : { request_delete_range: { key: Buffer.from(waitingKey(prefix)) } };
