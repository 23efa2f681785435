import type { Process } from './process.ts';
import type { Answer, Request } from './request.ts';
import { type Checkpoint, placesOf, type Running } from './running.ts';
import type { World } from './world.ts';

/** What must hold whenever a process asks a server or etcd ends a lease. */
export interface RequestChecks {
  leaseExpired(id: string): void;
  requestMade(process: Process, request: Request): void;
  requestEnded(process: Process, request: Request): void;
  answerReceived(process: Process, request: Request, answer: Answer): void;
}

/** The id of the record that a path of the source names; undefined for a list. */
const idIn = (path: string) => /^\/v1\/models\/([^/?]+)$/.exec(path)?.[1];

/** Timers count in whole milliseconds. */
const TIMER_MS = 2;

export function checkRequests(world: World, running: Map<string, Running>): RequestChecks {
  const { etcd } = world;
  const complain = ({ name }: Process, what: string) => world.violation(`${name}: ${what}`);
  /** The paths that each process is writing, and until when by its monotonic clock each server wants a pause of it. */
  const writing = new Map<Process, Map<string, number>>();
  const pausedUntilMs = { source: new Map<Process, number>(), target: new Map<Process, number>() };

  /** Whether the process still holds its lease for valid, by its own clocks. */
  const believes = ({ session, enter }: Process) =>
    session !== undefined && enter(() => !session.signal.aborted && session.budget().totalMs > 0);

  function checkOwner(process: Process, { headers }: Request) {
    const { 'x-fencing-token': token, 'x-fencing-scope': scope = '' } = headers;
    const { opening } = running.get(process.name)!;
    // A process that etcd has forgotten with its last restore cannot know it yet. The target's fence is for that.
    if (opening?.restores !== etcd.restores) return;
    const owner = etcd.owner(scope)?.create_revision;
    if (owner !== token)
      complain(process, `writes with token ${token}, although the lock ${scope} belongs to ${owner}`);
  }

  function noteBeginning(run: Running) {
    const { lockKey, statePrefix } = placesOf(run);
    if (run.beginning || etcd.owner(lockKey)?.lease !== run.process.session?.leaseId) return;
    const { failed = [] } = (etcd.value(`${statePrefix}checkpoint`) ?? {}) as Checkpoint;
    run.beginning = { failed, watermark: etcd.value(`${statePrefix}watermark`) };
  }

  function checkWrite(process: Process, { path }: Request) {
    const run = running.get(process.name)!;
    const { settings, invocation, startedMonotonicMs, terminatedMonotonicMs, opening } = run;
    const inFlight = writing.get(process) ?? new Map();
    writing.set(process, inFlight.set(path, (inFlight.get(path) ?? 0) + 1));
    if (inFlight.get(path)! > 1) complain(process, `writes ${path} twice at the same time`);
    const concurrency = Number(invocation.event.concurrency ?? settings.concurrency);
    if (inFlight.size > concurrency) complain(process, `more than ${concurrency} writes in flight`);
    const nowMs = process.monotonicMs();
    const closesMs = startedMonotonicMs + invocation.remainingMs - settings.deadlineReserveSeconds * 1000;
    // A process that was stopped learns of the time only when its timers fire.
    if (process.stoppedMs === 0 && nowMs > Math.min(closesMs, terminatedMonotonicMs ?? closesMs) + TIMER_MS)
      complain(process, 'starts a write in the reserve');
    if (invocation.function === 'sync' && opening && opening.atMs > world.pausedSinceMs)
      complain(process, 'writes although the job is paused');
  }

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
      const { to } = request;
      if (
        (to === 'source' || to === 'target') &&
        process.monotonicMs() < (pausedUntilMs[to].get(process) ?? 0) - TIMER_MS
      )
        complain(process, `asks before the pause is over that the ${to} asked for`);
      noteBeginning(running.get(process.name)!);
      const id = to === 'source' ? idIn(request.path) : undefined;
      if (id !== undefined) running.get(process.name)!.unread.add(id);
      if (to !== 'target') return;
      checkOwner(process, request);
      checkWrite(process, request);
    },
    requestEnded(process, { to, path }) {
      const inFlight = writing.get(process);
      if (to !== 'target' || !inFlight) return;
      const left = inFlight.get(path)! - 1;
      if (left === 0) inFlight.delete(path);
      else inFlight.set(path, left);
    },
    answerReceived(process, { to, path }, { status, pauseMs = 0 }) {
      if (to !== 'source' && to !== 'target') return;
      const run = running.get(process.name)!;
      const id = to === 'source' && status === 200 ? idIn(path) : undefined;
      if (id !== undefined) run.unread.delete(id);
      if (to === 'target' && status >= 300) run.putOff.set(path, [...(run.putOff.get(path) ?? []), pauseMs > 0]);
      if (to === 'target' && status < 300) run.taken = true;
      if (to === 'target' && status >= 300 && status < 500 && status !== 401 && status !== 429 && pauseMs === 0)
        run.refused.add(path);
      const untilMs = process.monotonicMs() + pauseMs;
      pausedUntilMs[to].set(process, Math.max(pausedUntilMs[to].get(process) ?? 0, untilMs));
    },
  };
}
