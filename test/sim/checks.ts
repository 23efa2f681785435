import { SolotickError } from '../../lib/errors.ts';
import type { Report } from '../../lib/report.ts';
import type { Status } from '../../lib/run/control.ts';
import type { Result } from '../../lib/run/result.ts';
import type { Settings } from '../../lib/settings/config.ts';
import type { Invocation } from './history.ts';
import type { Process } from './process.ts';
import type { Answer, Request } from './request.ts';
import type { World } from './world.ts';

/** An invocation that has been started. */
export interface Running {
  invocation: Invocation;
  process: Process;
  settings: Settings;
  startedMs: number;
  /** By its own monotonic clock. */
  startedMonotonicMs: number;
  terminatedMonotonicMs?: number;
  /** How it ended; killed ones have no end. */
  outcome?: { result: Result | Status } | { error: unknown };
  metrics: Record<string, unknown>[];
  /** Restores of etcd before it opened its session. */
  restores?: number;
}

/** Whatever must hold while a history is played. Each one calls `world.violation` where it does not. */
export interface Checks {
  leaseExpired(id: string): void;
  requestMade(process: Process, request: Request): void;
  answerReceived(process: Process, request: Request, answer: Answer): void;
  ended(running: Running): void;
}

/** Timers count in whole milliseconds. */
const TIMER_MS = 2;

export function createChecks(world: World, running: Map<string, Running>): Checks {
  const { etcd } = world;
  /** The scheduled times of the ticks that have reported completion. */
  const completed = new Map<string, string>();
  /** The most pages that a pass has settled, by the run that began it. */
  const furthest = new Map<string, number>();

  const complain = ({ name }: { name: string }, what: string) => world.violation(`${name}: ${what}`);

  /** Whether the process still holds its lease for valid, by its own clocks. */
  const believes = ({ session, enter }: Process) =>
    session !== undefined && enter(() => !session.signal.aborted && session.budget().totalMs > 0);

  function checkWrite(process: Process, { headers }: Request) {
    const { 'x-fencing-token': token, 'x-fencing-scope': scope = '' } = headers;
    const { settings, restores, invocation, startedMonotonicMs, terminatedMonotonicMs } = running.get(process.name)!;
    // A process that etcd has forgotten with its last restore cannot know it yet. The target's fence is for that.
    if (restores === etcd.restores && etcd.owner(scope)?.create_revision !== token)
      complain(
        process,
        `writes with token ${token}, although the lock ${scope} belongs to ${etcd.owner(scope)?.create_revision}`,
      );
    const concurrency = Number(invocation.event.concurrency ?? settings.concurrency);
    if (process.writesInFlight >= concurrency) complain(process, `more than ${concurrency} writes in flight`);
    const nowMs = process.monotonicMs();
    if (nowMs < process.pausedByTargetUntilMs - TIMER_MS)
      complain(process, 'writes before the pause is over that the target asked for');
    const closesMs = startedMonotonicMs + invocation.remainingMs - settings.deadlineReserveSeconds * 1000;
    // A process that was stopped learns of the time only when its timers fire.
    if (process.stoppedMs === 0 && nowMs > Math.min(closesMs, terminatedMonotonicMs ?? closesMs) + TIMER_MS)
      complain(process, 'starts a write in the reserve');
  }

  function checkReport(process: Process, report: Report, of: string) {
    const { read, written, invalid, failed, unsettled } = report;
    const { unchanged = 0, removed = 0 } = report as Report & { unchanged?: number; removed?: number };
    if (read !== written + unchanged + removed + invalid + failed + unsettled)
      complain(process, `the counts of the ${of} do not add up: ${JSON.stringify(report)}`);
  }

  function checkResult({ process, invocation, settings, metrics }: Running, result: Result) {
    const { status, report, pass, fencingToken } = result;
    checkReport(process, report, 'run');
    if (pass) checkReport(process, pass, 'pass');
    if (status === 'completed' && report.unsettled > 0) complain(process, 'completed with unsettled records');
    if (fencingToken && !result.dryRun) {
      const scope = scopeOf(settings, invocation);
      const accepted = world.target.accepted(scope, fencingToken);
      if (accepted < report.written)
        complain(process, `reports ${report.written} written, but the target accepted ${accepted}`);
    }
    const tick = invocation.function === 'sync';
    const { scheduledTime } = invocation.event;
    if (
      tick &&
      status === 'completed' &&
      typeof scheduledTime === 'string' &&
      !world.clocksGoBack &&
      etcd.restores === 0
    ) {
      const name = `${scheduledTime} ${JSON.stringify(invocation.event.shard)}`;
      if (completed.has(name))
        complain(process, `the tick of ${scheduledTime} was completed by ${completed.get(name)} before`);
      completed.set(name, process.name);
    }
    if (tick && metrics[0]?.Success === 1 && status !== 'completed') checkProgress(process, result);
  }

  /** A partial tick is a success only where the next one goes on further than it began. */
  function checkProgress(process: Process, { pass, report }: Result) {
    if (report.read + report.missing <= report.unsettled) complain(process, 'Success although nothing was settled');
    const { startedAt, runId } = unfinishedPass() ?? {};
    const before = furthest.get(`${runId} ${startedAt}`) ?? 0;
    if (world.strict.has('short-cursors') && pass && pass.pages <= before)
      complain(process, `Success, but the pass has been at page ${before} before, and is at ${pass.pages}`);
    furthest.set(`${runId} ${startedAt}`, Math.max(before, pass?.pages ?? 0));
  }

  const unfinishedPass = () =>
    (etcd.value('/sim/state/checkpoint') as { pass?: { runId: string; startedAt: string } } | undefined)?.pass;

  return {
    leaseExpired(id) {
      for (const { process, outcome } of running.values()) {
        if (outcome || process.dead || process.session?.leaseId !== id) continue;
        if (believes(process)) complain(process, 'holds its lease for valid when etcd ends it');
      }
    },
    requestMade(process, request) {
      if (process.dead) return;
      if (running.get(process.name)!.outcome) complain(process, `asks the ${request.to} after its end`);
      if (process.session && !believes(process))
        complain(process, `asks the ${request.to} after its lease may have expired`);
      if (request.to === 'target') checkWrite(process, request);
    },
    answerReceived(process, { to }, { status, headers }) {
      const seconds = Number(headers['retry-after'] ?? 0);
      if (to === 'target' && (status === 429 || status === 503))
        process.pausedByTargetUntilMs = Math.max(process.pausedByTargetUntilMs, process.monotonicMs() + seconds * 1000);
    },
    ended(run) {
      const { process, invocation, settings, startedMonotonicMs, terminatedMonotonicMs, outcome } = run;
      const tookMs = process.monotonicMs() - startedMonotonicMs;
      const sinceAskedMs = process.monotonicMs() - (terminatedMonotonicMs ?? Number.POSITIVE_INFINITY);
      if (sinceAskedMs > settings.deadlineReserveSeconds * 1000 + process.stoppedMs)
        complain(process, `took ${Math.round(sinceAskedMs)} ms after it was asked to end`);
      if (tookMs > invocation.remainingMs + process.stoppedMs)
        complain(process, `took ${Math.round(tookMs)} of ${invocation.remainingMs} ms`);
      if (!outcome) return;
      if ('error' in outcome) {
        const { error } = outcome;
        if (!(error instanceof SolotickError)) complain(process, `ended with ${(error as Error)?.stack ?? error}`);
      } else if (invocation.function !== 'control') checkResult(run, outcome.result as Result);
    },
  };
}

export function scopeOf({ lockKey }: Settings, { event }: Pick<Invocation, 'event'>): string {
  const { index, of } = (event.shard ?? { index: 0, of: 1 }) as { index: number; of: number };
  return of === 1 ? lockKey : `${lockKey}.shards/${index}-of-${of}`;
}
