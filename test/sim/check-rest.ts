import type { Result } from '../../lib/run/result.ts';
import { FOREVER, type History, type Invocation } from './history.ts';
import { EPOCH_MS, type Process } from './process.ts';
import { placesOf, type Running, type Status } from './running.ts';
import type { World } from './world.ts';

/** Ticks that are skipped or fail do not count, so more of them are sent than are needed. */
const MAX_TICKS = 9;
const NEEDED_TICKS = 3;
const GIVEN_UP_AFTER = 5;
/** A result tells so many. */
const MAX_PROBLEMS = 20;

/**
 * Sends quiet ticks once all faults are over, and checks what there is then: every record at the target in its newest
 * version or in a list, and no lease, key, timer or pending request.
 */
export function checkRest(options: {
  world: World;
  running: Map<string, Running>;
  history: History;
  /** The runs that had a reason to count an attempt to write a record. */
  blame: ReadonlyMap<string, ReadonlySet<string>>;
  runNow: (invocation: Pick<Invocation, 'name' | 'function' | 'event'>) => Running;
  violation: (what: string) => void;
}): void {
  const { world, running, history, blame, runNow, violation } = options;
  const { timeline, etcd, source, target, denied } = world;

  for (const { process, outcome } of running.values()) {
    if (!process.dead && !outcome) violation(`${process.name} has never ended`);
    checkNothingLeft(process);
  }
  if (etcd.leases.size > 0) violation(`leases are left: ${[...etcd.leases.keys()]}`);

  // A clock that was ahead may have left a quota that keeps ticks away for a day.
  if (world.clocksGoAhead) timeline.run(timeline.nowMs + 86_400_000);
  runNow({ name: 'operator', function: 'control', event: { action: 'resume' } });
  // Without a raised revision a restored etcd gives tokens that the target has seen: its operator has to know.
  if (history.weather.some((weather) => weather.kind === 'restore' && !weather.bumpRevision)) target.forgetTokens();
  /** The records that the last tick could not write; a job that reads no single records has no other list. */
  const problems = new Set<string>();
  const refusedForever = history.weather.flatMap((weather) =>
    weather.kind === 'refuses' && weather.forMs === FOREVER ? weather.ids : [],
  );
  const shards = Number(history.env.SHARDS ?? 1);
  for (let index = 0; index < shards; index++) sendTicks(shards === 1 ? undefined : { index, of: shards });

  const status = runNow({ name: 'observer', function: 'control', event: { action: 'status' } }).outcome;
  if (!status || 'error' in status) violation(`no status: ${status?.error}`);
  else checkRecords(status.result as Status);

  function checkNothingLeft({ name, dead, timers }: Process) {
    if (dead) return;
    if (timers.size > 0) violation(`${name}: ${timers.size} timers are left`);
  }

  function sendTicks(shard: { index: number; of: number } | undefined) {
    const seen: string[] = [];
    const idle = { before: false };
    for (let number = 1, done = 0; done < NEEDED_TICKS; number++) {
      if (number > MAX_TICKS) return violation(`quiet ticks do not complete: ${seen.join(', ')}`);
      timeline.run(timeline.nowMs + 61_000);
      const scheduledTime = new Date(EPOCH_MS + timeline.nowMs - 500).toISOString();
      const name = `quiet-${number}${shard ? `-of-shard-${shard.index}` : ''}`;
      const started = runNow({
        name,
        function: 'sync',
        event: { kind: 'tick', scheduledTime, ...(shard && { shard }) },
      });
      const { outcome } = started;
      timeline.run(timeline.nowMs + 5000);
      seen.push(
        outcome && 'result' in outcome
          ? JSON.stringify((outcome.result as Result).reason ?? 'completed')
          : String((outcome as { error: unknown })?.error),
      );
      if (outcome && 'result' in outcome && (outcome.result as Result).status === 'completed') done++;
      const result = outcome && 'result' in outcome ? (outcome.result as Result) : undefined;
      if (result && done === NEEDED_TICKS) {
        const { problems: told = [] } = result;
        for (const { id } of told) problems.add(id);
        // The rest is only counted.
        if (told.length >= MAX_PROBLEMS) for (const id of refusedForever) problems.add(id);
        if (idle.before) checkIdle(name, result);
      }
      idle.before = result?.status === 'completed' && result.report.failed === 0;
      checkNothingLeft(started.process);
      if (etcd.leases.size > 0) violation(`${name} leaves leases`);
      const keys = etcd.keysUnder(`${placesOf(started).lockKey}/`);
      if (keys.length > 0) violation(`${name} leaves keys under the lock: ${keys}`);
    }
  }

  /** Where nothing has changed and nothing has failed, a tick writes nothing. */
  function checkIdle(name: string, { report }: Result) {
    // A full pass writes everything, and a record that says that it changed in the future is never known.
    const future = [...source.newest().values()].some(
      ({ updatedAt }) => Date.parse(updatedAt) > EPOCH_MS + timeline.nowMs,
    );
    if (report.written > 0 && report.failed === 0 && !history.env.FULL_EVERY_HOURS && !future)
      violation(`${name} writes ${report.written} records that have not changed`);
  }

  /** A record is given up after so many attempts; until then each tick reads it again. */
  function checkAttempts(id: string, attempts: number) {
    // An invalid record counts as an attempt as well, and nobody has seen how often it was read.
    if (history.changes.some((change) => change.id === id && change.kind !== 'change')) return;
    const unread = [...running.values()].flatMap((run) => (run.unread.has(id) ? [run.process.name] : []));
    const reasons = new Set([...(blame.get('') ?? []), ...(blame.get(id) ?? []), ...unread]).size;
    if (attempts > reasons) violation(`${id} counts ${attempts} attempts, of which ${reasons} were its own fault`);
    if (attempts < GIVEN_UP_AFTER && !refusedForever.includes(id))
      violation(`${id} is still in the list after ${attempts} attempts, although nothing is wrong any more`);
  }

  function checkRecords(status: Status) {
    const parts = status.shards ?? [status];
    // Each id is named once, by the shard or by the whole.
    const failed = [status, ...parts].flatMap((part) => part.failed ?? []);
    const listed = new Set([
      ...failed.map(({ id }) => id),
      ...world.deadLetters,
      ...(history.readsById ? [] : problems),
    ]);
    if (parts.some(({ heldBy }) => heldBy)) violation('the lock is held although nobody runs');
    if (parts.some(({ unfinishedPass }) => unfinishedPass))
      violation('a pass is unfinished after three completed ticks');
    for (const { id, attempts } of failed) checkAttempts(id, attempts);
    for (const [id, version] of source.newest()) {
      if (version.name === '' || listed.has(id) || denied.has(id)) continue;
      const stored = target.stored.get(id);
      if (stored?.body.name === version.name || stored?.overtaken) continue;
      // A restored state has never heard of it. lib/lock/README.md says how everything is read again.
      if (etcd.restores > 0 && stored && running.get(stored.by)?.invocation.function === 'backfill') continue;
      violation(
        `${id} is lost: the source has "${version.name}", the target ${stored ? `"${stored.body.name}"` : 'nothing'}`,
      );
    }
  }
}
