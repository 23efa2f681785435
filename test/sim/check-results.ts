import { isDeepStrictEqual } from 'node:util';
import { SolotickError } from '../../lib/errors.ts';
import type { Report } from '../../lib/report.ts';
import type { Result } from '../../lib/run/result.ts';
import { endOfFaults } from './history.ts';
import { type Checkpoint, placesOf, type Running } from './running.ts';
import type { World } from './world.ts';

/** What a run may end with although nothing was wrong around it: it had too little time, or its event was of no use. */
const NOBODYS_FAULT = ['NoProgressError', 'Interrupted', 'EventError'];

/** So many refusals, and none taken, are the target's condition. Settings of the simulator never ask for more. */
const REFUSES_EVERYBODY = 20;

/** Makes the function that checks an invocation when it has ended. */
export function checkResults(world: World): (run: Running) => void {
  const { etcd, history, target } = world;
  /** Who has reported completion of a scheduled time. */
  const completed = new Map<string, string>();
  const complain = ({ process }: Running, what: string) => world.violation(`${process.name}: ${what}`);

  function checkTime(run: Running) {
    const { process, invocation, settings, startedMonotonicMs, terminatedMonotonicMs } = run;
    const nowMs = process.monotonicMs();
    const reserveMs = settings.deadlineReserveSeconds * 1000;
    const endsMs = Math.min(
      startedMonotonicMs + invocation.remainingMs,
      (terminatedMonotonicMs ?? Number.POSITIVE_INFINITY) + reserveMs,
    );
    // While it is stopped it can do nothing about it. Its clock may go fast meanwhile.
    const lateMs = nowMs - endsMs - process.stoppedMs * Math.max(1, invocation.clocks.monotonicRate);
    if (lateMs > 0) complain(run, `ends ${Math.ceil(lateMs)} ms after its deadline`);
  }

  function checkCounts(run: Running, report: Report, of: string) {
    const { read, written, invalid, failed, unsettled } = report;
    const { unchanged = 0, removed = 0 } = report as Report & { unchanged?: number; removed?: number };
    if (read !== written + unchanged + removed + invalid + failed + unsettled)
      complain(run, `the counts of the ${of} do not add up: ${JSON.stringify(report)}`);
  }

  function checkResult(run: Running, result: Result) {
    const { invocation } = run;
    const { status, report, pass, fencingToken } = result;
    checkCounts(run, report, 'run');
    if (pass) checkCounts(run, pass, 'pass');
    const failedBefore = new Set(run.beginning?.failed.map(({ id }) => `/v1/regions/eu/models/${id}`));
    const refused = [...run.refused].filter((path) => !failedBefore.has(path)).length;
    if (refused >= REFUSES_EVERYBODY && !run.taken)
      complain(run, `the target has refused ${refused} records and taken none, and the run is ${status}`);
    for (const { id, kind } of result.problems ?? []) {
      const answers = run.putOff.get(`/v1/regions/eu/models/${id}`);
      if (kind === 'failed' && answers?.length === 1 && answers[0])
        complain(run, `${id} has failed, although the target has only asked for a pause, once`);
    }
    if (status === 'completed' && report.unsettled > 0) complain(run, 'completed with unsettled records');
    if (fencingToken) {
      const accepted = target.accepted(placesOf(run).lockKey, fencingToken);
      if (accepted < report.written)
        complain(run, `reports ${report.written} written, but the target accepted ${accepted}`);
    }
    if (invocation.function !== 'sync') return;
    if (status === 'completed') checkDuplicate(run);
    if (status === 'partial') checkProgress(run, result);
  }

  function checkDuplicate(run: Running) {
    const { scheduledTime, time = scheduledTime, shard } = run.invocation.event;
    // Where a clock was set back, a completed time seems to be in the future, and says nothing about other ticks.
    if (typeof time !== 'string' || world.clocksGoBack || etcd.restores > 0) return;
    const name = `${time} ${JSON.stringify(shard)}`;
    if (completed.has(name)) complain(run, `the tick of ${time} was completed by ${completed.get(name)} before`);
    completed.set(name, run.process.name);
  }

  /** A partial tick is a success only where it got further, so that the next one goes on behind that. */
  function checkProgress(run: Running, { runId, report }: Result) {
    const success = run.metrics[0]?.Success === 1;
    if (success && report.read + report.missing <= report.unsettled)
      complain(run, 'Success although nothing was settled');
    const { restores, checkpoint } = run.opening ?? {};
    const { statePrefix } = placesOf(run);
    const before = checkpoint?.pass;
    const after = (etcd.value(`${statePrefix}checkpoint`) as Checkpoint | undefined)?.pass;
    // What failed before is read first, and is no part of the list.
    const readsOnlyTheList = !checkpoint?.failed?.length;
    const sameList = after?.runId === (before?.runId ?? runId) && restores === etcd.restores;
    if (success && readsOnlyTheList && sameList && after.cursor === (before?.cursor ?? null))
      complain(run, `Success, but the pass is where it was: ${after.cursor}`);
  }

  /** A target that refuses everybody has nothing to do with single records, so nothing is counted of them. */
  function checkRefused(run: Running) {
    const { process, metrics, beginning, invocation } = run;
    const { runId, RecordsWritten: written } = metrics[0] as { runId: string; RecordsWritten: number };
    // What was still in flight may have been taken.
    const inFlight = Number(invocation.event.concurrency ?? run.settings.concurrency) - 1;
    if (written > inFlight) complain(run, `the target refuses everybody, and took ${written} records`);
    if (written > 0) return;
    const { statePrefix } = placesOf(run);
    const last = (etcd.value(`${statePrefix}run`) as { last?: { runId: string } } | undefined)?.last;
    // Otherwise its end could not be saved, or was followed by others already.
    if (invocation.function !== 'sync' || !beginning || last?.runId !== runId) return;
    const before = new Map(beginning.failed.map(({ id, attempts }) => [id, attempts]));
    const { failed = [] } = etcd.value(`${statePrefix}checkpoint`) as Checkpoint;
    // One that has become invalid counts, whatever the target says.
    const spoiled = new Set(history.changes.flatMap(({ id, kind }) => (kind === 'spoil' ? [id] : [])));
    const wasUnreadable = (id: string) => run.unread.has(id) || world.unreadableTo.get(id)?.has(process.name);
    for (const { id, attempts } of failed)
      if (attempts !== before.get(id) && !spoiled.has(id) && !wasUnreadable(id))
        complain(run, `the target refuses everybody, and ${id} counts ${attempts} attempts, not ${before.get(id)}`);
    if (!isDeepStrictEqual(etcd.value(`${statePrefix}watermark`), beginning.watermark))
      complain(run, 'the target refuses everybody, and the watermark has moved');
  }

  function checkError(run: Running, error: unknown) {
    if (!(error instanceof SolotickError)) return complain(run, `ended with ${(error as Error)?.stack ?? error}`);
    if (run.metrics[0]?.Success) complain(run, `Success, although it ended with ${error.name}`);
    if (error.name === 'TargetRefusedError') checkRefused(run);
    const quiet = run.startedMs > endOfFaults(history) || history.weather.length === 0;
    const { faults, clocks } = run.invocation;
    const undisturbed = faults.length === 0 && clocks.monotonicRate === 1 && clocks.wallRate === 1;
    // The target remembers the tokens from before until its operator lets it forget them.
    const lowerTokens = history.weather.some((weather) => weather.kind === 'restore' && !weather.bumpRevision);
    if (error.name === 'FenceAheadError' && lowerTokens && etcd.restores > 0) return;
    if (quiet && undisturbed && !NOBODYS_FAULT.includes(error.name))
      complain(run, `ended with ${error.name} although nothing was wrong: ${error.message}`);
  }

  return (run) => {
    const { invocation, outcome } = run;
    checkTime(run);
    if (!outcome) return;
    if ('error' in outcome) checkError(run, outcome.error);
    else if (invocation.function !== 'control') checkResult(run, outcome.result as Result);
  };
}
