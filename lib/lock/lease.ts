import { randomBytes } from 'node:crypto';
import type { Budget, Etcd } from './etcd.ts';

/** Our own choice of id (63 random bits) makes the grant repeatable, and revocable when its answer is lost. */
export const newLeaseId = () => (randomBytes(8).readBigUInt64BE() >> 1n || 1n).toString();

/** Grants a lease that nobody keeps alive: what is put with it is gone after that time. @returns its id */
export async function grantLease(etcd: Etcd, seconds: number, budget: Budget): Promise<string> {
  const id = newLeaseId();
  await etcd.grant(id, seconds, budget);
  return id;
}
