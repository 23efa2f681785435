import { isDeepStrictEqual } from 'node:util';
import type { Result } from '../../lib/run/result.ts';
import type { Running } from './running.ts';
import type { World } from './world.ts';

/** A run that was sent by one that has ended by itself, and when. */
type Ended = Running & { result: Result };

/**
 * Checks, once all is at rest, that a tick is sent again by the run that it found in its way, and that no backfill that begins
 * later goes before it. Where etcd or a process was disturbed, nobody can promise that.
 */
export function checkOverlap(world: World, running: ReadonlyMap<string, Running>): void {
  const { history, sent } = world;
  if (history.weather.some(({ on }) => on === 'etcd') || world.clocksGoBack || world.clocksGoAhead) return;
  const all = [...running.values()].flatMap((run): Ended[] => {
    const { outcome, invocation } = run;
    return invocation.function !== 'control' && outcome && 'result' in outcome
      ? [{ ...run, result: outcome.result as Result }]
      : [];
  });
  const ended = all.filter(({ invocation }) => invocation.faults.length === 0);
  for (const tick of ended) {
    const { reason, heldBy } = tick.result;
    if (tick.invocation.function !== 'sync' || reason !== 'locked') continue;
    const holder = ended.find(({ result }) => result.status !== 'skipped' && result.runId === heldBy?.runId);
    if (!holder || holder.result.notBefore) continue;
    const { follows, yields } = holder.settings;
    const makesWay = holder.invocation.function === 'sync' ? follows : yields;
    if (makesWay && !sent.get(holder.process.name)?.some(({ kind }) => kind === 'tick'))
      world.violation(`${holder.process.name} was in the way of ${tick.process.name}, and has not sent it again`);
  }
  const tokenOf = ({ result }: Ended) => Number(result.fencingToken ?? Number.NaN);
  const ticks = ended.filter(({ invocation }) => invocation.function === 'sync');
  const backfills = ended.filter(({ invocation, settings }) => invocation.function === 'backfill' && settings.yields);
  for (const tick of ticks) {
    const first = backfills.find(({ process }) => process.name === tick.invocation.sentBy);
    if (!first) continue;
    const skipped = ticks.filter(({ result }) => result.heldBy?.runId === first.result.runId);
    const wantedMs = Math.min(...skipped.map(({ endedMs }) => endedMs!));
    const isBetween = (run: Ended, last: Ended) => tokenOf(run) > tokenOf(first) && tokenOf(run) < tokenOf(last);
    // Whether a tick that has failed held the lock, nobody can tell from its end.
    const mayHaveRun = (other: Running) =>
      [...running.values()].some(
        ({ invocation, outcome, startedMs, endedMs = Number.POSITIVE_INFINITY }) =>
          invocation.function === 'sync' &&
          outcome !== undefined &&
          'error' in outcome &&
          endedMs > wantedMs &&
          startedMs < other.endedMs!,
      );
    const isBefore = (run: Ended) => tick.result.heldBy?.runId === run.result.runId || isBetween(run, tick);
    for (const other of backfills)
      if (
        isDeepStrictEqual(other.invocation.event.shard, tick.invocation.event.shard) &&
        other.startedMs > wantedMs &&
        isBefore(other) &&
        !all.some((one) => one.invocation.function === 'sync' && isBetween(one, other)) &&
        !mayHaveRun(other)
      )
        world.violation(
          `${other.process.name} goes before ${tick.process.name}, for which ${first.process.name} made way`,
        );
  }
}
