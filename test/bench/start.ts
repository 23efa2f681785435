import { type Pair, type Row, type RowName, rowOf } from './row.ts';
import { startSlowTarget } from './slow-target.ts';
import type { Invoked, Stage } from './stage.ts';

/** Time from the start of the process, compared with a plain bundle and with a tick that does work. */
export async function measureStart(stage: Stage, wanted: ReadonlySet<RowName>): Promise<Row[]> {
  const rounds = stage.quick ? 1 : 15;
  await using target = await startSlowTarget(() => 0);

  async function loading(file: string, name: string) {
    const { startedAtMs, readyAtMs } = await stage.run<Invoked>('invoke', [file, name]);
    return readyAtMs - startedAtMs;
  }

  async function tick(expected: string) {
    const env = stage.jobEnv(target.url, 1);
    // etcdctl also runs before a tick that finds its lock free: a process that ran just before slows a cold start down.
    await stage.etcd.etcdctl(['put', `${env.LOCK_KEY}${expected === 'skipped' ? '' : '-of-another-job'}/somebody`, '']);
    const told = await stage.run<Invoked>('invoke', [stage.handler, 'handler', '{}'], env);
    if (told.result?.status !== expected) throw new Error(`the tick was ${told.result?.status}, not ${expected}`);
    return told.endedAtMs - told.startedAtMs;
  }

  const halves: [RowName, () => Promise<number>, () => Promise<number>][] = [
    ['cold-start', () => loading(stage.handler, 'handler'), () => loading(stage.rival.file, 'sync')],
    ['cold-skip', () => tick('skipped'), () => tick('completed')],
  ];
  const rows: Row[] = [];
  for (const [name, measureOwn, measureOther] of halves) {
    if (!wanted.has(name)) continue;
    stage.progress(`${name}: ${rounds} rounds`);
    // The first run of each brings its files into the system's cache.
    await measureOwn();
    await measureOther();
    const pairs: Pair[] = [];
    for (let round = 0; round < rounds; round++) pairs.push({ own: await measureOwn(), other: await measureOther() });
    rows.push(rowOf(name, pairs));
  }
  return rows;
}
