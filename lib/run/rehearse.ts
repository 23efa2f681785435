import type { Backfill } from '../backfill-event.ts';
import { copy } from '../copy/copy.ts';
import type { Difference } from '../copy/differences.ts';
import type { Job } from '../job-types.ts';
import type { Log } from '../log.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import { newReport, type Problem, problemNotes } from '../report.ts';
import type { Settings } from '../settings/config.ts';
import type { Credentials } from '../settings/secrets.ts';
import { nameOfShard } from '../shard.ts';
import { beginPass } from '../state/pass.ts';
import { openPass } from '../state/pass-under-way.ts';
import type { Deadline } from '../time/deadline.ts';
import type { Result } from './result.ts';

/** The most records that are named as those that would be written. */
const MAX_NAMED = 20;

/**
 * Rehearses a backfill: reads and checks what it would write, without the lock, and writes nothing. `report.written` counts
 * what would be written.
 * @throws what reading can throw
 */
export async function rehearse<R>(
  job: Job<R>,
  request: Backfill,
  options: {
    settings: Settings;
    runId: string;
    startedMs: number;
    deadline: Deadline;
    credentials: Credentials;
    log: Log;
  },
): Promise<Result> {
  const { settings, runId, startedMs, deadline, credentials, log } = options;
  const report = newReport();
  const problems: Problem[] = [];
  const wouldWrite: string[] = [];
  const note = problemNotes(problems, log);
  const pass = openPass(
    beginPass(
      { sourceUrl: settings.source.url, style: 'rehearsal', shard: nameOfShard(request.shard) },
      { since: request.since, until: request.until, full: false },
      { runId, startedAt: new Date(startedMs).toISOString() },
    ),
    settings.watermarkOverlapSeconds,
  );
  const outcomes: RecordOutcomes<R> = {
    done(id, as) {
      if (as === 'written' && wouldWrite.length < MAX_NAMED) wouldWrite.push(id);
    },
    invalid(id, reason) {
      note({ id, kind: 'invalid', reason });
      return undefined;
    },
    failed: (id, reason) => note({ id, kind: 'failed', reason }),
    notRemoved: (id, reason) => note({ id, kind: 'failed', reason }),
    unreadable: (id, reason) => note({ id, kind: 'failed', reason }),
    missing: (id) => note({ id, kind: 'missing', reason: 'the source knows no record of this id' }),
  };
  const { ending, interrupted, differences, vanished } = await copy({
    job,
    settings,
    concurrency: request.concurrency ?? settings.concurrency,
    credentials,
    pass,
    ids: request.ids,
    shard: request.shard,
    failedBefore: [],
    // Nothing is removed, so there is nothing to withhold.
    removals: request.ids ? undefined : { maxPercent: 100, shards: 1, rehearses: true },
    stops: { check() {}, deadline },
    report,
    outcomes,
    pageSettled() {},
    log,
  });
  report.durationMs = Math.max(0, Date.now() - startedMs);
  const status = ending === 'complete' ? 'completed' : 'partial';
  log.info(interrupted ? `rehearsal partial (${ending}): ${interrupted.message}` : 'rehearsal completed', { report });
  return {
    status,
    job: job.name,
    runId,
    dryRun: true,
    report,
    wouldWrite,
    ...(differences && { differences: differences.map(request.values ? withValues : withoutValues) }),
    ...(differences && vanished.removals === 'unknown' && { vanishedUnknown: true }),
    ...(ending !== 'complete' && { reason: ending }),
    ...(interrupted && { message: interrupted.message }),
    ...(problems.length > 0 && { problems }),
  };
}

/** The most characters of a value's JSON. */
const MAX_VALUE_LENGTH = 200;

const withoutValues = ({ fields, ...difference }: Difference): Difference => ({
  ...difference,
  ...(fields && { fields: fields.map(({ name }) => ({ name })) }),
});

const withValues = ({ fields, ...difference }: Difference): Difference => ({
  ...difference,
  ...(fields && {
    fields: fields.map(({ name, source, target }) => ({ name, source: cut(source), target: cut(target) })),
  }),
});

function cut(value: unknown): unknown {
  const json = JSON.stringify(value) ?? '';
  return json.length <= MAX_VALUE_LENGTH ? value : `${json.slice(0, MAX_VALUE_LENGTH - 1).toWellFormed()}…`;
}
