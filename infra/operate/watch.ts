import { setTimeout as sleep } from 'node:timers/promises';
import type { BackfillStatus } from '../../lib/run/backfill-status.ts';
import type { Status } from '../../lib/run/status.ts';
import { Refusal } from '../terminal/refusal.ts';
import { backfillCommand, type Where } from './backfill-command.ts';
import { describeBar, describeStall, describeWait, endOf, newsOf } from './backfill-lines.ts';
import type { Terminal } from './bar.ts';
import type { Functions } from './functions.ts';
import { DevHasEnded } from './jobs.ts';

const POLL_MS = 2000;

/** A laptop may sleep, and a network may be gone for a while. */
const MAX_SILENT = 30;

interface Tools extends Terminal {
  control: Functions['control'];
  where: Where;
  /** Aborts to leave the backfill alone. */
  stop: AbortSignal;
}

/**
 * Shows how far a backfill is until it has ended.
 * @returns its status at the end; undefined if `stop` aborted before
 * @throws Refusal if it is not known, or nobody answers
 */
export async function watch(
  id: string,
  tools: Tools,
): Promise<{ whole: Status; backfill: BackfillStatus } | undefined> {
  const { control, where, stop, line, bar } = tools;
  let before: BackfillStatus | undefined;
  let said: string | undefined;
  let waited: string | undefined;
  let saidWait: string | undefined;
  let silent = 0;
  while (!stop.aborted) {
    const whole = await control({ action: 'status' }, stop).catch((error: Error) => {
      if (stop.aborted) return undefined;
      if (error instanceof DevHasEnded) throw new Refusal(`${error.message}, and backfill ${id} has stopped with it`);
      if (!(error instanceof Refusal) || ++silent === MAX_SILENT) throw goesOn(id, where, error);
      if (silent === 1) line(`${error.message}; the backfill goes on, and this command asks again`);
      return undefined;
    });
    if (whole) {
      silent = 0;
      const backfill = findBackfill(whole, id);
      for (const text of newsOf(before, backfill, Date.now())) line(text);
      const stall = describeStall(backfill, Date.now(), where);
      if (stall !== undefined && stall !== said) line(stall);
      said = stall;
      const wait = describeWait(whole, backfill);
      // A tick that it makes way for is soon gone again.
      if (wait !== undefined && wait === waited && wait !== saidWait) {
        line(wait);
        saidWait = wait;
      }
      waited = wait;
      if (backfill.status !== 'running') return { whole, backfill };
      bar(describeBar(backfill, Date.now()));
      before = backfill;
    }
    await sleep(POLL_MS, undefined, { signal: stop }).catch(() => undefined);
  }
  return undefined;
}

/** @throws Refusal */
export function findBackfill({ backfills }: Status, id: string): BackfillStatus {
  const found = backfills.find((one) => one.id === id);
  if (found) return found;
  const known = backfills.map((one) => one.id).join(', ');
  throw new Refusal(`there is no backfill ${id} among the last ones: ${known || 'there is none'}`);
}

const goesOn = (id: string, where: Where, { message }: Error) =>
  new Refusal([message, 'the backfill goes on; to watch it again:', `  ${backfillCommand(where, { watch: id })}`]);

/** The lines about a backfill that was asked to end. */
export function describeCancelled(status: Status, id: string, where: Where): string[] {
  const backfill = findBackfill(status, id);
  if (backfill.status !== 'running') return endOf(status, backfill, where);
  return [
    `backfill ${id} ends at its next page, or when it has its turn at the lock; to see that:`,
    `  ${backfillCommand(where, { watch: id })}`,
  ];
}
