import { onInterrupt } from '../terminal/interrupt.ts';
import type { Lines } from '../terminal/print-lines.ts';
import { Refusal } from '../terminal/refusal.ts';
import { comeBack, startBackfill } from './backfill.ts';
import type { Where } from './backfill-command.ts';
import { endOf } from './backfill-lines.ts';
import type { Terminal } from './bar.ts';
import { dryRun } from './dry-run.ts';
import type { Functions } from './functions.ts';
import { type BackfillOptions, concurrencyOf, namedBackfill, readBackfillOptions } from './options.ts';
import { describeCancelled, watch } from './watch.ts';

interface Tools {
  functions: Functions;
  /** Into how many parts the job is divided. */
  shards: number;
  print(lines: Lines): void;
  /** Lends a bar to what is shown, and takes it away at its end. */
  withBar<T>(show: (terminal: Terminal) => Promise<T>): Promise<T>;
}

/** `serverless backfill`: starts one, or watches, cancels or resumes one, or rehearses. @throws Refusal */
export async function runBackfill(options: BackfillOptions & Where, tools: Tools): Promise<void> {
  const { functions, shards, print, withBar } = tools;
  if (options.wait !== undefined) print('--wait is not needed any more: a backfill waits for the lock by itself');
  const named = namedBackfill(options);
  if (named?.what === 'cancel') {
    const status = await functions.control({ action: 'cancel-backfill', backfillId: named.id });
    return print(describeCancelled(status, named.id, options));
  }
  const request = named ? undefined : readBackfillOptions(options, new Date(), shards);
  if (request?.dryRun) return await withBar((terminal) => dryRun(request, functions.backfill, terminal));
  const asked = request ?? { whole: {}, resume: named!.id, ...concurrencyOf(options) };
  const interrupted = new AbortController();
  onInterrupt(() => interrupted.abort());
  const stop = interrupted.signal;
  const id = named?.what === 'watch' ? named.id : await startBackfill(asked, functions.backfill, options, stop);
  if (options.detach) return print([`backfill ${id} has started and goes on by itself`, ...comeBack(id, options)]);
  await watchBackfill(id, options, { ...tools, stop });
}

/** Shows a backfill until its end, or until Ctrl-C. */
async function watchBackfill(id: string, where: Where, tools: Tools & { stop: AbortSignal }): Promise<void> {
  const { functions, print, withBar, stop } = tools;
  const seen = await withBar((terminal) => watch(id, { ...terminal, control: functions.control, where, stop }));
  if (!seen) {
    print([`backfill ${id} goes on without this terminal`, ...comeBack(id, where)]);
    process.exitCode = 130;
    return;
  }
  const lines = endOf(seen.whole, seen.backfill, where);
  if (seen.backfill.status !== 'completed') throw new Refusal(lines);
  print(lines);
}
