import { startNginx } from './nginx.ts';
import { type Pair, type Row, type RowName, rowOf } from './row.ts';
import { startSlowTarget } from './slow-target.ts';
import type { Invoked, Stage } from './stage.ts';

const LATENCY_MS = 20;

/** Bulk writes compared with one request for each record, with prepared bodies and with a loop that checks as much; and a pass in which nothing has changed. */
export async function measureBulk(stage: Stage, wanted: ReadonlySet<RowName>): Promise<Row[]> {
  const records = stage.quick ? 1000 : 100_000;
  const rounds = stage.quick ? 1 : 3;
  const perSecond = (of: number, { durationMs }: Pick<Invoked, 'durationMs'>) => (of / durationMs) * 1000;

  async function atSlowTarget(env: Record<string, string>, copy: (url: string) => Promise<Invoked>) {
    await using target = await startSlowTarget(() => LATENCY_MS, env.JOB === 'compared' ? records : 0);
    return perSecond(records, await copy(target.url));
  }
  const written = (job: string) => atSlowTarget({ JOB: job }, (url) => stage.copy(url, records, { JOB: job }));
  const unchanged = () => atSlowTarget({ JOB: 'compared' }, (url) => stage.compare(url, records));

  async function againstOneByOne(name: RowName, own: () => Promise<number>): Promise<Row> {
    const pairs: Pair[] = [];
    // One by one takes 40 s.
    for (let round = 1; round <= Math.min(rounds, 2); round++) {
      stage.progress(`${name}: ${round}`);
      pairs.push({ own: await own(), other: await written('models') });
    }
    return rowOf(name, pairs);
  }

  async function againstClient(name: 'bulk-loop' | 'bulk-work'): Promise<Row> {
    await using target = await startNginx();
    const pairs: Pair[] = [];
    const many = records * 5;
    const args = {
      'bulk-loop': [target.url, `${many}`, '50'],
      'bulk-work': [`${stage.sourceUrl}/${many}`, target.url, '50'],
    };
    for (let round = 1; round <= rounds; round++) {
      stage.progress(`${name}: ${round} of ${rounds}`);
      const own = await stage.copy(target.url, many, { JOB: 'bulk' });
      const other = await stage.run<Invoked>(name, args[name]);
      pairs.push({ own: perSecond(many, own), other: perSecond(many, other) });
    }
    return rowOf(name, pairs);
  }

  return [
    ...(wanted.has('bulk') ? [await againstOneByOne('bulk', () => written('bulk'))] : []),
    ...(wanted.has('bulk-loop') ? [await againstClient('bulk-loop')] : []),
    ...(wanted.has('bulk-work') ? [await againstClient('bulk-work')] : []),
    ...(wanted.has('unchanged') ? [await againstOneByOne('unchanged', unchanged)] : []),
  ];
}
