import { type Pair, type Row, type RowName, rowOf } from './row.ts';
import { startSlowTarget } from './slow-target.ts';
import type { Stage } from './stage.ts';

/** What the lock costs: a skip that it decides, and taking and freeing it. */
export async function measureEtcd(stage: Stage, wanted: ReadonlySet<RowName>): Promise<Row[]> {
  const rows: Row[] = [];
  if (wanted.has('warm-skip')) rows.push(await warmSkip(stage));
  if (wanted.has('lock')) {
    stage.progress('lock');
    const args = [stage.etcd.endpoints[0]!, stage.quick ? '5' : '300'];
    const { pairs } = await stage.run<{ pairs: Pair[] }>('lock', args);
    rows.push(rowOf('lock', pairs));
  }
  return rows;
}

async function warmSkip(stage: Stage): Promise<Row> {
  const rounds = stage.quick ? 5 : 300;
  await using target = await startSlowTarget(() => 0);
  const [endpoint] = stage.etcd.endpoints as [string];
  const skips = (env: Record<string, string>, event: string, ...endpoints: string[]) =>
    stage.run<{ pairs: Pair[] }>('skips', [stage.handler, event, `${rounds}`, ...endpoints], env);

  stage.progress('warm-skip: the time');
  const env = stage.jobEnv(target.url, 1);
  const done = '{"scheduledTime":"2026-01-01T00:00:00Z"}';
  await stage.run('invoke', [stage.handler, 'handler', done], env);
  const { pairs } = await skips(env, done, endpoint);

  stage.progress('warm-skip: the calls');
  const duplicates = await callsOf(endpoint, () => skips(env, done));
  await stage.etcd.etcdctl(['put', `${env.LOCK_KEY}/somebody`, '']);
  const locked = await callsOf(endpoint, () => skips(env, '{}'));
  // A tick that finds the lock held counts its skip afterwards, and notes that it is wanted: two puts in one call more.
  const calls = [duplicates.calls, locked.calls - locked.puts / 2].map((total) => total / rounds);
  return rowOf('warm-skip', pairs, {
    ok: calls.every((each) => each === 1),
    why: `${calls.join(' and ')} calls decide a duplicate and a held lock`,
  });
}

/** Counts the calls that etcd receives and the keys that are put while `work` runs. */
async function callsOf(endpoint: string, work: () => Promise<unknown>) {
  const read = async () => {
    const metrics = await (await fetch(`${endpoint}/metrics`)).text();
    const sum = (name: string) =>
      [...metrics.matchAll(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, 'gm'))].reduce(
        (sum, [, n]) => sum + Number(n),
        0,
      );
    return { calls: sum('grpc_server_started_total'), puts: sum('etcd_mvcc_put_total') };
  };
  const before = await read();
  await work();
  const after = await read();
  return { calls: after.calls - before.calls, puts: after.puts - before.puts };
}
