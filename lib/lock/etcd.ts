import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ClientClosedError,
  castGrpcError,
  type Etcd3,
  EtcdAuthenticationFailedError,
  EtcdInvalidAuthTokenError,
  EtcdPermissionDeniedError,
  GRPCUnavailableError,
  type ITxnRequest,
  type ITxnResponse,
  isRecoverableError,
} from 'etcd3';
import { CredentialsError, LockLostError, LockServiceError } from '../errors.ts';
import { orAborted } from '../time/abort.ts';
import { type EtcdCredentials, forgetToken, oneLine, openMember } from './endpoint.ts';

/** The time for one attempt and for all attempts of a call, and the signal that ends it earlier. */
export interface Budget {
  attemptMs: number;
  totalMs: number;
  signal?: AbortSignal | undefined;
}

/** The calls that a lock and its state need. Each keeps to its budget and tries the endpoints in turn. */
export interface Etcd extends AsyncDisposable {
  txn(operation: string, request: ITxnRequest, budget: Budget): Promise<ITxnResponse>;
  /** Grants the lease `id` for `ttlSeconds`, or for etcd's minimum if that is longer. @returns the granted TTL in seconds */
  grant(id: string, ttlSeconds: number, budget: Budget): Promise<number>;
  /** @returns the lease's new TTL in seconds; 0 when etcd does not know the lease (any more) */
  keepAlive(id: string, budget: Budget): Promise<number>;
  revoke(id: string, budget: Budget): Promise<void>;
  /** @returns the seconds until the lease expires unless it is kept alive; negative when etcd does not know it */
  timeToLive(id: string, budget: Budget): Promise<number>;
}

/** etcd's errors while it has no leader, or when it loses the leader during our request. */
const LEADERLESS = /etcdserver: (no leader|leader changed|request timed out|too many requests|server stopped)/;

const OUT_OF_TIME = /DEADLINE_EXCEEDED/;

/** The users or roles were changed while we held a token; etcd3 leaves these two errors to its caller. */
const STALE_AUTH = /etcdserver: revision of auth store is old|etcdserver: user name is empty/;

/** The user logs in only with a certificate. etcd sends no code for it, and etcd3 takes an error without one for transient. */
const NO_PASSWORD_USER = /password was given for no password user/;

/**
 * Opens a connection to each endpoint, lazily, and stays with the one that answers. etcd3's own retries and circuit breakers
 * are off: they can try the one dead node again and again, and they do not know our deadlines.
 */
export function connectEtcd(endpoints: readonly string[], credentials: EtcdCredentials = {}): Etcd {
  const members = endpoints.map((endpoint) => openMember(endpoint, credentials));
  let current = Math.floor(Math.random() * members.length);

  async function call<T>(operation: string, budget: Budget, send: (client: Etcd3, deadline: number) => Promise<T>) {
    const { attemptMs, totalMs, signal } = budget;
    const giveUpAtMs = performance.now() + totalMs;
    /** The last error that says more than that the time was up. */
    let complaint: Error | undefined;
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      const member = members[current]!;
      const { client } = member;
      const deadline = Date.now() + Math.min(attemptMs, giveUpAtMs - performance.now());
      try {
        Object.assign(member, { authentications: 0, deadline });
        return await orAborted(send(client, deadline), signal);
      } catch (error) {
        signal?.throwIfAborted();
        const cause = error as Error;
        // Another call may have reopened the member and so closed our client.
        const replaced = member.client !== client;
        if (STALE_AUTH.test(cause.message) && credentials.username !== undefined) {
          if (!replaced) member.reopen();
        } else if (!isTransient(cause) && !(replaced && cause instanceof ClientClosedError))
          throw refusal(operation, member.endpoint, cause);
        if (!complaint || !OUT_OF_TIME.test(cause.message)) complaint = cause;
        // Two calls that fail at the same time must not skip the member that works.
        if (members[current] === member) current = (current + 1) % members.length;
        const pauseMs = Math.min(50 * 2 ** attempt, 500);
        if (performance.now() + pauseMs >= giveUpAtMs) {
          throw new LockServiceError(
            `etcd did not answer "${operation}" in ${attempt} attempt(s) within ${Math.round(totalMs)} ms at ${endpoints.join(', ')}: ${oneLine(complaint)}`,
            { cause: complaint },
          );
        }
        // An abort ends the pause; the loop then throws the signal's own reason.
        await sleep(pauseMs, undefined, signal && { signal }).catch(() => undefined);
      }
    }
  }

  return {
    txn: (operation, request, budget) =>
      call(operation, budget, (client, deadline) => client.kv.txn(request, { deadline })),

    grant: (id, ttlSeconds, budget) =>
      call('grant lease', budget, async (client, deadline) => {
        try {
          const granted = await client.leaseClient.leaseGrant({ ID: id, TTL: ttlSeconds }, { deadline });
          return Number(granted.TTL);
        } catch (error) {
          // We chose the id, so our own first attempt made the lease and its answer was lost.
          if (/lease already exists/.test((error as Error).message)) return keepAliveOnce(client, id, deadline);
          throw error;
        }
      }),

    keepAlive: (id, budget) =>
      call('keep lease alive', budget, (client, deadline) => keepAliveOnce(client, id, deadline)),

    revoke: async (id, budget) => {
      await call('revoke lease', budget, async (client, deadline) => {
        try {
          await client.leaseClient.leaseRevoke({ ID: id }, { deadline });
        } catch (error) {
          if (!/lease not found/.test((error as Error).message)) throw error;
        }
      });
    },

    timeToLive: (id, budget) =>
      call('read lease', budget, async (client, deadline) =>
        Number((await client.leaseClient.leaseTimeToLive({ ID: id, keys: false }, { deadline })).TTL),
      ),

    async [Symbol.asyncDispose]() {
      for (const member of members) member.close();
    },
  };
}

/** Renews a refused token, as etcd3 does for all calls but streams. */
async function keepAliveOnce(client: Etcd3, id: string, deadline: number): Promise<number> {
  try {
    return await askToKeepAlive(client, id, deadline);
  } catch (error) {
    if (!(error instanceof EtcdInvalidAuthTokenError)) throw error;
    forgetToken(client);
    return await askToKeepAlive(client, id, deadline);
  }
}

/** Opens a stream for each keep-alive, so that it has a deadline and moves to another endpoint like any other call. */
async function askToKeepAlive(client: Etcd3, id: string, deadline: number): Promise<number> {
  // The stream is a Node Duplex, which etcd3's narrower type hides.
  const stream = (await client.leaseClient.leaseKeepAlive({ deadline })) as unknown as Duplex;
  try {
    stream.write({ ID: id });
    const [answer] = await Promise.race([once(stream, 'data'), once(stream, 'end')]);
    if (!answer) throw new GRPCUnavailableError('the stream ended without an answer');
    return Number(answer.TTL);
  } catch (error) {
    // etcd3 does this for all calls but streams; without it, no error of a keep-alive would count as transient.
    throw castGrpcError(error as Error);
  } finally {
    stream.end();
    stream.resume();
  }
}

const isTransient = (error: Error) =>
  (isRecoverableError(error) && !NO_PASSWORD_USER.test(error.message)) || LEADERLESS.test(error.message);

/** Makes the error for an answer that no retry would change. */
function refusal(operation: string, endpoint: string, cause: Error) {
  // The only requests that name a lease are puts of our own keys.
  if (/requested lease not found/.test(cause.message)) {
    return new LockLostError(`etcd no longer knows the lease of "${operation}": it expired or was revoked`, { cause });
  }
  const refused =
    cause instanceof EtcdAuthenticationFailedError ||
    cause instanceof EtcdInvalidAuthTokenError ||
    cause instanceof EtcdPermissionDeniedError ||
    STALE_AUTH.test(cause.message) ||
    NO_PASSWORD_USER.test(cause.message);
  const Kind = refused ? CredentialsError : LockServiceError;
  return new Kind(`etcd at ${endpoint} refused "${operation}": ${oneLine(cause)}`, { cause });
}
