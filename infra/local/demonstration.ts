import { isDeepStrictEqual } from 'node:util';
import type { Result } from '../../lib/run/result.ts';
import { say } from '../terminal/print-lines.ts';
import type { LocalCloud } from './cloud.ts';
import type { Model } from './demo/catalogue.ts';
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

type Tick = (scheduledMs: number) => Promise<InvokeResult>;

/**
 * Sends two ticks, the second while the first one writes, and then one that mends what differs, and checks what they did.
 */
export async function demonstrate(cloud: LocalCloud): Promise<{ outcome: Outcome; faults: string[] }> {
  const { functions, source, target } = cloud;
  const tick: Tick = (scheduledMs) =>
    functions.sync.invoke({ kind: 'tick', scheduledTime: new Date(scheduledMs).toISOString() });
  const thisMinuteMs = Math.floor(Date.now() / 60_000) * 60_000;
  const overlapping = await overlap(cloud, tick, thisMinuteMs);
  const faults = faultsOfOverlap(overlapping, cloud);
  const mending = await mend(cloud, () => tick(thisMinuteMs));
  faults.push(...faultsOfMending(mending, cloud));
  const locksLeft = (await cloud.lockKeys()).length;
  say(
    `target: ${target.models.size} records, at most ${target.peakInFlight} writes in flight; locks left: ${locksLeft}`,
  );
  if (locksLeft > 0) faults.push('a lock was left');
  const outcome = {
    ticks: [...overlapping, mending].map(({ payload, error }) => payload ?? error),
    sourceRecords: source.records.length,
    targetRecords: target.models.size,
    peakInFlight: target.peakInFlight,
    locksLeft,
  };
  return { outcome, faults };
}

async function overlap({ target, records }: LocalCloud, tick: Tick, thisMinuteMs: number): Promise<InvokeResult[]> {
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
  return invocations;
}

/** Changes the first record at the target and removes the last one at the source; then a tick reads everything. */
async function mend(
  { functions, source, target, records }: LocalCloud,
  tick: () => Promise<InvokeResult>,
): Promise<InvokeResult> {
  const [changed, removed] = [records.at(0)!, records.at(-1)!];
  target.models.set(changed.id, { ...Object(target.models.get(changed.id)), name: 'changed by hand' });
  source.records = records.slice(0, -1);
  await functions.control.invoke({ action: 'reset', what: 'watermark' });
  say(`tick 3: ${changed.id} was changed at the target, ${removed.id} removed at the source; it reads everything`);
  const third = await tick();
  say(`tick 3: ${summarize(third)}`);
  return third;
}

function summarize({ payload, error, durationMs }: InvokeResult): string {
  const seconds = `${(durationMs / 1000).toFixed(2)} s`;
  if (error) return `failed after ${seconds}: ${error.errorType}: ${error.errorMessage}`;
  const { status, reason, message, report, runId, fencingToken, removalsWithheld } = payload as Result;
  if (status === 'skipped') return `skipped in ${seconds} (${reason}): ${message}`;
  const { read, written, unchanged, removed, invalid, failed, pages } = report;
  const counts = [
    ...[`${pages} pages`, `${read} read`, `${written} written`],
    ...(unchanged > 0 ? [`${unchanged} unchanged`] : []),
    ...(removed > 0 ? [`${removed} removed`] : []),
    ...(removalsWithheld ? [`${removalsWithheld} removals withheld`] : []),
    ...[`${invalid} invalid`, `${failed} failed`],
  ];
  return `${status} in ${seconds}: run ${runId}, fencing token ${fencingToken}, ${counts.join(', ')}`;
}

/** The ids of the records that source and target do not have alike. */
function differing({ source, target }: LocalCloud): string[] {
  const expected = new Map((source.records as Model[]).map(({ id, ...body }) => [id, body]));
  const ids = new Set([...expected.keys(), ...target.models.keys()]);
  return [...ids].filter((id) => !isDeepStrictEqual(target.models.get(id), expected.get(id)));
}

const faultsIn = (checks: [passed: boolean, fault: string][]) =>
  checks.flatMap(([passed, fault]) => (passed ? [] : [fault]));

function faultsOfOverlap([first, second]: InvokeResult[], cloud: LocalCloud): string[] {
  const { target, config } = cloud;
  const one = (first?.payload ?? {}) as Partial<Result>;
  const two = (second?.payload ?? {}) as Partial<Result>;
  const different = differing(cloud);
  const limit = Number(config.settings.CONCURRENCY ?? 50);
  return faultsIn([
    [one.status === 'completed', `tick 1 should complete, but is ${one.status ?? first?.error?.errorMessage}`],
    [two.status === 'skipped', `tick 2 should be skipped, but is ${two.status ?? second?.error?.errorMessage}`],
    [two.reason === 'locked', `tick 2 should be skipped because of the lock, not because of ${two.reason}`],
    [one.runId !== undefined && two.heldBy?.runId === one.runId, 'tick 2 does not name tick 1 as the holder'],
    [different.length === 0, `${different.length} records differ at the target, such as ${different[0]}`],
    [target.peakInFlight <= limit, `${target.peakInFlight} writes were in flight, above the limit of ${limit}`],
    [
      target.writes.every((write) => write.token === one.fencingToken),
      'a write has a fencing token other than that of tick 1',
    ],
  ]);
}

function faultsOfMending({ payload, error }: InvokeResult, cloud: LocalCloud): string[] {
  const { status, report, fencingToken } = (payload ?? {}) as Partial<Result>;
  const { writes, removals } = cloud.target;
  const last = [...writes.slice(-1), ...removals];
  const different = differing(cloud);
  const { written, unchanged, removed } = report ?? {};
  return faultsIn([
    [status === 'completed', `tick 3 should complete, but is ${status ?? error?.errorMessage}`],
    [written === 1, `tick 3 should write the record that was changed, and no other, but has written ${written}`],
    [removed === 1, `tick 3 should remove the record that has vanished, and no other, but has removed ${removed}`],
    [
      unchanged === cloud.source.records.length - 1,
      `tick 3 should leave all others as they are, but has found ${unchanged} unchanged`,
    ],
    [different.length === 0, `${different.length} records differ after tick 3, such as ${different[0]}`],
    [
      last.length === 2 && last.every(({ token }) => token === fencingToken),
      'a write or a removal of tick 3 has another fencing token',
    ],
  ]);
}
