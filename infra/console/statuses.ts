import type { Status } from '../../lib/run/status.ts';
import type { Jobs } from '../operate/jobs.ts';
import type { Timer } from '../terminal/announce.ts';
import type { JobView } from './api.ts';
import { nextDue } from './next-due.ts';
import { troubleOf } from './trouble.ts';

/** A cold start in a network, and etcd's own deadlines, have room in it. */
const DEADLINE_MS = 20_000;

interface Options {
  jobs: Jobs;
  timers: readonly { job: string; timer?: Timer }[];
  local: boolean;
}

/**
 * Asks the jobs for their statuses, all at a time. While a function has not answered, those who ask wait for the same
 * invocation, so that more pages cost no more.
 */
export function statusReader({ jobs, timers, local }: Options): () => Promise<JobView[]> {
  const underWay = new Map<string, Promise<JobView>>();

  async function read(job: string): Promise<JobView> {
    const timer = timers.find((one) => one.job === job)?.timer;
    const view: JobView = { job, shards: jobs.shardsOf(job), ...(timer && { timer }) };
    const signal = AbortSignal.timeout(DEADLINE_MS);
    try {
      const answer = await jobs.of(job).control({ action: 'status' }, signal);
      // A function that was deployed before these were known answers without them.
      const status: Status = { ...answer, history: answer.history ?? [], backfills: answer.backfills ?? [] };
      const due = timer && nextDue(timer, lastScheduled(status), new Date());
      return { ...view, status, ...(due && { nextDue: due }) };
    } catch (error) {
      const due = timer && nextDue(timer, undefined, new Date());
      return {
        ...view,
        trouble: troubleOf(error, { local, late: signal.aborted, asked: 'status' }),
        ...(due && { nextDue: due }),
      };
    }
  }

  function shared(job: string): Promise<JobView> {
    const running = underWay.get(job);
    if (running) return running;
    const started = read(job).finally(() => underWay.delete(job));
    underWay.set(job, started);
    return started;
  }

  return () => Promise.all(jobs.names.map(shared));
}

const lastScheduled = ({ history }: Status): string | undefined =>
  history
    .flatMap(({ scheduledTime }) => scheduledTime ?? [])
    .sort()
    .at(-1);
