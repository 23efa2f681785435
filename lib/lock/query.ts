import type { IKeyValue, IRequestOp, IResponseOp } from 'etcd3';
import type { Budget, Etcd } from './etcd.ts';

/** The types of etcd's API that other rooms write down. */
export type Operation = IRequestOp;
export type KeyValue = IKeyValue;

/** Reads of etcd that can go along with any transaction, and what their answers mean. */
export interface Query<T> {
  operations: Operation[];
  /** Decodes the answers to `operations`, which come in their order. */
  decode(answers: readonly IResponseOp[]): T;
}

/** Asks both in one transaction, so that both answers are of the same revision. */
export function both<A, B>(first: Query<A>, second: Query<B>): Query<[A, B]> {
  const count = first.operations.length;
  return {
    operations: [...first.operations, ...second.operations],
    decode: (answers) => [first.decode(answers.slice(0, count)), second.decode(answers.slice(count))],
  };
}

/** @throws what `etcd.txn` and `query.decode` throw */
export async function ask<T>(etcd: Etcd, operation: string, query: Query<T>, budget: Budget): Promise<T> {
  return query.decode((await etcd.txn(operation, { success: query.operations }, budget)).responses);
}

/** Reads one key; undefined where there is none. */
export const keyValue = (key: Buffer): Query<KeyValue | undefined> => ({
  operations: [{ request_range: { key } }],
  decode: ([answer]) => answer?.response_range.kvs[0],
});

/** Reads nothing. */
export const nothing: Query<undefined> = { operations: [], decode: () => undefined };
