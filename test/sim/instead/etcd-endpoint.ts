import { EventEmitter } from 'node:events';
import { ClientClosedError, castGrpcError, type ITxnRequest } from 'etcd3';
import type * as real from '../../../lib/lock/endpoint.ts';
import { checkedTxn } from '../check-state.ts';
import { EtcdRefusal } from '../etcd-refusal.ts';
import { carry, UNREACHABLE } from '../network.ts';
import { current } from '../process.ts';
import { weatherOn } from '../weather.ts';
import { worldOf } from '../world.ts';

/** An error as gRPC makes it. */
const grpcError = (message: string) => Object.assign(new Error(message), { code: Number.parseInt(message, 10) });

/** Makes one call to the model of etcd. Its deadline is a wall time, and runs from then on by the monotonic clock. */
function ask<A>(deadlineMs: number, serve: () => A): Promise<A> {
  const process = current()!;
  const world = worldOf(process);
  return new Promise((resolve, reject) => {
    const timer = process.setTimer(
      () => end(grpcError('4 DEADLINE_EXCEEDED: Deadline exceeded')),
      deadlineMs - Date.now(),
      false,
    );
    const call = carry<A | Error>(
      process,
      'etcd',
      () => {
        if (weatherOn(world, 'etcd', 'no-leader')) return grpcError('14 UNAVAILABLE: etcdserver: no leader');
        if (weatherOn(world, 'etcd', 'restore')) return grpcError('14 UNAVAILABLE: etcdserver: server stopped');
        try {
          return serve();
        } catch (error) {
          if (!(error instanceof EtcdRefusal)) throw error;
          return grpcError(error.message);
        }
      },
      (answer) => end(answer === UNREACHABLE ? grpcError('14 UNAVAILABLE: No connection established') : answer),
    );
    function end(outcome: A | Error) {
      timer.clear();
      call.hangUp();
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    }
  });
}

/** Instead of `lib/lock/endpoint`: a client of the model, with the part of etcd3's that `lib/lock/etcd` uses. */
export const openMember: typeof real.openMember = (endpoint) => {
  const process = current()!;
  const world = worldOf(process);
  const { etcd } = world;
  const complain = (what: string) => world.violation(`${process.name}: ${what}`);
  let closed = false;
  const unary = <A>(deadlineMs: number, serve: () => A) =>
    closed
      ? Promise.reject(new ClientClosedError('kv'))
      : ask(deadlineMs, serve).catch((error) => {
          throw castGrpcError(error);
        });
  const client = {
    kv: {
      txn: (request: ITxnRequest, { deadline }: Options) =>
        unary(deadline, () => checkedTxn(etcd, request, { leaseId: process.session?.leaseId, complain })),
    },
    leaseClient: {
      leaseGrant: ({ ID, TTL }: { ID: string; TTL: number }, { deadline }: Options) =>
        unary(deadline, () => ({ ID, TTL: String(etcd.grant(ID, TTL)) })),
      leaseRevoke: ({ ID }: { ID: string }, { deadline }: Options) => unary(deadline, () => etcd.revoke(ID) ?? {}),
      leaseTimeToLive: ({ ID }: { ID: string }, { deadline }: Options) =>
        unary(deadline, () => ({ ID, TTL: String(etcd.timeToLive(ID)) })),
      async leaseKeepAlive({ deadline }: Options) {
        const stream = new EventEmitter();
        return Object.assign(stream, {
          write: ({ ID }: { ID: string }) =>
            void ask(deadline, () => ({ ID, TTL: String(etcd.keepAlive(ID)) })).then(
              (answer) => stream.emit('data', answer),
              (error) => stream.listenerCount('error') > 0 && stream.emit('error', error),
            ),
          end() {},
          resume() {},
        });
      },
    },
  };
  return {
    ...{ endpoint, authentications: 0, deadline: 0, reopen() {} },
    client,
    close() {
      closed = true;
    },
  } as unknown as ReturnType<typeof real.openMember>;
};

interface Options {
  deadline: number;
}

/** There are no tokens in the model. */
export const forgetToken = () => undefined;

export const oneLine = ({ message }: Error) => message.replaceAll(/\s+/g, ' ').trim();
