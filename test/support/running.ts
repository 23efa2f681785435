import assert from 'node:assert/strict';
import type { DemoTarget } from '../../infra/local/demo/target.ts';
import type { LocalEtcd } from '../../infra/local/etcd/etcd.ts';

/** Resolves once the run writes. @throws when it ends before its first write */
export async function untilWriting({ target }: { target: DemoTarget }, run: Promise<unknown>) {
  const ended = run.then(() => assert.fail('the run ended before it wrote anything'));
  await Promise.race([target.nextRequest(), ended]);
  ended.catch(() => undefined);
}

/** The job's whole state in etcd, byte for byte, except the named keys. */
export async function stored(etcd: LocalEtcd, prefix: string, ...except: string[]) {
  const { kvs = [] } = JSON.parse(await etcd.etcdctl(['get', `${prefix}/state/`, '--prefix', '--write-out=json']));
  const keyOf = ({ key }: { key: string }) => Buffer.from(key, 'base64').toString();
  return (kvs as { key: string }[]).filter((kv) => !except.some((name) => keyOf(kv).includes(`/state/${name}`)));
}
