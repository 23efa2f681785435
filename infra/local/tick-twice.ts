import { isDeepStrictEqual } from 'node:util';
import type { Result } from '../../lib/run/result.ts';
import { say } from '../terminal/print-lines.ts';
import type { LocalCloud } from './cloud.ts';
import type { InvokeResult } from './lambda/function.ts';

/** The first run needs more than ten answers in sequence, so it outlasts the start of the second one. */
const SLOW_MS = 1500;

interface Outcome {
  ticks: unknown[];
  sourceRecords: number;
  targetRecords: number;
  peakInFlight: number;
  locksLeft: number;
}

/** Sends two ticks, the second while the first one writes, and checks what they did. */
export async function tickTwice(cloud: LocalCloud): Promise<{ outcome: Outcome; faults: string[] }> {
  const { functions, target, records } = cloud;
  const tick = (scheduledMs: number) =>
    functions.sync.invoke({ kind: 'tick', scheduledTime: new Date(scheduledMs).toISOString() });
  const thisMinuteMs = Math.floor(Date.now() / 60_000) * 60_000;

  say(`tick 1: ${records.length} records at the source, the target answers slowly`);
  target.latencyMs = SLOW_MS;
  const writing = target.nextRequest();
  const first = tick(thisMinuteMs - 60_000);
  // The first tick may fail before it writes.
  await Promise.race([writing, first]);
  say('tick 2: sent now that tick 1 writes');
  const second = await tick(thisMinuteMs);
  target.latencyMs = 20;
  const invocations = [await first, second];
  for (const [index, invocation] of invocations.entries()) say(`tick ${index + 1}: ${summarize(invocation)}`);

  const locksLeft = (await cloud.lockKeys()).length;
  say(
    `target: ${target.models.size} records, at most ${target.peakInFlight} writes in flight; locks left: ${locksLeft}`,
  );
  const outcome = {
    ticks: invocations.map(({ payload, error }) => payload ?? error),
    sourceRecords: records.length,
    targetRecords: target.models.size,
    peakInFlight: target.peakInFlight,
    locksLeft,
  };
  return { outcome, faults: [...check(invocations, cloud), ...(locksLeft === 0 ? [] : ['a lock was left'])] };
}

function summarize({ payload, error, durationMs }: InvokeResult): string {
  const seconds = `${(durationMs / 1000).toFixed(2)} s`;
  if (error) return `failed after ${seconds}: ${error.errorType}: ${error.errorMessage}`;
  const { status, reason, message, report, runId, fencingToken } = payload as Result;
  if (status === 'skipped') return `skipped in ${seconds} (${reason}): ${message}`;
  const { read, written, invalid, failed, pages } = report;
  return `${status} in ${seconds}: run ${runId}, fencing token ${fencingToken}, ${pages} pages, ${read} read, ${written} written, ${invalid} invalid, ${failed} failed`;
}

function check([first, second]: InvokeResult[], { target, records, config }: LocalCloud): string[] {
  const one = (first?.payload ?? {}) as Partial<Result>;
  const two = (second?.payload ?? {}) as Partial<Result>;
  const expected = new Map(records.map(({ id, ...body }) => [id, body]));
  const different = [...expected].filter(([id, body]) => !isDeepStrictEqual(target.models.get(id), body));
  const limit = Number(config.settings.CONCURRENCY ?? 50);
  const checks: [passed: boolean, fault: string][] = [
    [one.status === 'completed', `tick 1 should complete, but is ${one.status ?? first?.error?.errorMessage}`],
    [two.status === 'skipped', `tick 2 should be skipped, but is ${two.status ?? second?.error?.errorMessage}`],
    [two.reason === 'locked', `tick 2 should be skipped because of the lock, not because of ${two.reason}`],
    [one.runId !== undefined && two.heldBy?.runId === one.runId, 'tick 2 does not name tick 1 as the holder'],
    [different.length === 0, `${different.length} records differ at the target, such as ${different[0]?.[0]}`],
    [target.models.size === expected.size, `the target has ${target.models.size} records, the source ${expected.size}`],
    [target.peakInFlight <= limit, `${target.peakInFlight} writes were in flight, above the limit of ${limit}`],
    [
      target.writes.every((write) => write.token === one.fencingToken),
      'a write has a fencing token other than that of tick 1',
    ],
  ];
  return checks.flatMap(([passed, fault]) => (passed ? [] : [fault]));
}
