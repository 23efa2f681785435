import { once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import { castGrpcError, Etcd3, type IKeyValue, type ITxnResponse } from 'etcd3';
import { mulberry32 } from '../support/random.ts';
import { drawWith } from './draw.ts';
import { type Call, drawCalls } from './draw-calls.ts';
import { createModelEtcd, type ModelEtcd } from './etcd.ts';
import { EtcdRefusal } from './etcd-refusal.ts';

/** A sequence of calls to which the model and the real etcd do not answer alike. */
export interface Difference {
  seed: number;
  call: Call;
  model: unknown;
  real: unknown;
}

/**
 * Makes the same random calls to the model and to a real etcd, which nobody else may write to meanwhile, and compares all
 * answers and errors.
 * @returns the first difference of each sequence that has one, and the number of calls
 */
export async function holdAgainst(
  endpoint: string,
  options: { first: number; sequences: number },
): Promise<{ differences: Difference[]; calls: number }> {
  const { first, sequences } = options;
  using client = closing(new Etcd3({ hosts: endpoint, faultHandling: { global: never, host: () => never } }));
  const differences: Difference[] = [];
  let calls = 0;
  for (let seed = first; seed < first + sequences; seed++) {
    const revision = Number((await client.kv.txn({})).header.revision);
    const model = createModelEtcd({ nowMs: () => performance.now(), at() {}, expired() {}, revision });
    const leaseIds = [1, 2, 3].map((number) => String(seed * 10 + number));
    const drawn = drawCalls(drawWith(mulberry32(seed)), { prefix: `/model/${seed}/`, leaseIds, revision });
    for (const call of drawn) {
      calls++;
      const real = await answerOf(() => askReal(client, call));
      const expected = await answerOf(() => askModel(model, call));
      if (isDeepStrictEqual(real, expected)) continue;
      differences.push({ seed, call, model: expected, real });
      break;
    }
    for (const id of leaseIds) await client.leaseClient.leaseRevoke({ ID: id }).catch(() => undefined);
  }
  return { differences, calls };
}

/** etcd3's retries would hide errors. */
const never = { execute: <T>(act: (context: never) => T) => Promise.resolve(act({} as never)) } as never;

const closing = (client: Etcd3) => Object.assign(client, { [Symbol.dispose]: () => client.close() });

async function askReal({ kv, leaseClient }: Etcd3, call: Call): Promise<unknown> {
  switch (call.kind) {
    case 'txn':
      return answerTo(await kv.txn(call.request));
    case 'grant':
      return Number((await leaseClient.leaseGrant({ ID: call.id, TTL: call.ttlSeconds })).TTL);
    case 'keep-alive': {
      const stream = await leaseClient.leaseKeepAlive();
      stream.write({ ID: call.id });
      const [{ TTL }] = await once(stream as never, 'data');
      stream.end();
      return Number(TTL);
    }
    case 'revoke':
      return void (await leaseClient.leaseRevoke({ ID: call.id }));
    case 'time-to-live':
      return about(Number((await leaseClient.leaseTimeToLive({ ID: call.id, keys: false })).TTL));
  }
}

function askModel(etcd: ModelEtcd, call: Call): unknown {
  switch (call.kind) {
    case 'txn':
      return answerTo(etcd.txn(call.request));
    case 'grant':
      return etcd.grant(call.id, call.ttlSeconds);
    case 'keep-alive':
      return etcd.keepAlive(call.id);
    case 'revoke':
      return etcd.revoke(call.id);
    case 'time-to-live':
      return about(etcd.timeToLive(call.id));
  }
}

/** Both clocks go on between the two calls. */
const about = (seconds: number) => (seconds > 60 ? 'long' : seconds >= 0 ? 'short' : seconds);

async function answerOf(ask: () => unknown): Promise<unknown> {
  try {
    return { answer: await ask() };
  } catch (error) {
    // etcd3 does this to the errors of all calls but streams.
    return {
      error: error instanceof EtcdRefusal ? castGrpcError(new Error(error.message)).message : (error as Error).message,
    };
  }
}

/** As much of an answer as `lib` reads. */
function answerTo({ header, ...txn }: ITxnResponse): unknown {
  return { revision: header.revision, ...branchOf(txn) };
}

function branchOf({ succeeded, responses }: Pick<ITxnResponse, 'succeeded' | 'responses'>): object {
  return {
    succeeded,
    responses: responses.map(
      ({ response_range: range, response_put: put, response_delete_range: removed, response_txn }) => {
        if (range) return { kvs: range.kvs.map(keyValueOf), more: range.more, count: range.count };
        if (put) return { before: put.prev_kv && keyValueOf(put.prev_kv) };
        if (removed) return { deleted: removed.deleted, before: removed.prev_kvs.map(keyValueOf) };
        return branchOf(response_txn as Pick<ITxnResponse, 'succeeded' | 'responses'>);
      },
    ),
  };
}

const keyValueOf = ({ key, value, create_revision, mod_revision, version, lease }: IKeyValue) => [
  ...[key.toString(), value.toString(), create_revision, mod_revision, version, lease],
];
