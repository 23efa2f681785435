import { copy } from '../copy/copy.ts';
import type { Backfill } from '../event.ts';
import { newReport, type Problem } from '../report.ts';
import type { Credentials } from '../settings/secrets.ts';
import { nameOfShard } from '../shard.ts';
import { beginPass } from '../state/pass.ts';
import type { Deadline } from '../time/deadline.ts';
import type { Invocation, Job, Result } from './run.ts';

/** How many of the records that would be written are named. */
const MAX_NAMED = 20;

/**
 * A backfill with `dryRun`: reads and checks what it would write, without the lock, and writes nothing. `report.written`
 * counts what would be written.
 * @throws what reading can throw
 */
export async function rehearse<R>(
  job: Job<R>,
  request: Backfill,
  held: Invocation & { runId: string; startedAt: string; deadline: Deadline; credentials: Credentials },
): Promise<Result> {
  const { settings, runId, startedAt, log } = held;
  const report = newReport();
  const problems: Problem[] = [];
  const wouldWrite: string[] = [];
  const pass = beginPass(
    { sourceUrl: settings.source.url, style: 'rehearsal', shard: nameOfShard(request.shard) },
    { since: request.since, until: request.until, full: false },
    { runId, startedAt },
  );
  const hooks = {
    check() {},
    recordMissing() {},
    recordWritten(id: string) {
      if (wouldWrite.length < MAX_NAMED) wouldWrite.push(id);
    },
    recordUnreadable() {},
    recordInvalid: () => undefined,
    recordFailed() {},
    pageSettled() {},
  };
  const ending = await copy(job, { ...held, request, pass, report, problems, ...hooks }, []);
  report.durationMs = Math.max(0, Date.now() - Date.parse(startedAt));
  const status = ending === 'complete' ? 'completed' : 'partial';
  log.info(`rehearsal ${status}`, { report });
  return {
    status,
    job: job.name,
    runId,
    dryRun: true,
    report,
    wouldWrite,
    ...(ending !== 'complete' && { reason: ending }),
    ...(problems.length > 0 && { problems }),
  };
}
