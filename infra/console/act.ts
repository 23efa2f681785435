import type { Control } from '../../lib/event.ts';
import type { Result } from '../../lib/run/result.ts';
import type { Functions } from '../operate/functions.ts';
import { describeSkipped } from '../operate/status.ts';
import type { Part } from '../operate/windows.ts';
import type { Action } from './action.ts';
import { describeRehearsal, describeRetry, describeTicks, type Outcome } from './outcomes.ts';

interface Tools {
  functions: Functions;
  /** Into how many parts the job is divided. */
  shards: number;
  /** Who starts a backfill that goes on by itself. */
  startedBy: string;
}

type Backfill = Extract<Action, { do: 'backfill' }>;

/** A tick may be running; those who ask for single records by hand wait for it. */
const WAIT_SECONDS = 60;

/** Does what was asked for. @returns what came of it, for the reader of the page @throws Refusal, FunctionFailure */
export async function act(action: Action, tools: Tools): Promise<Outcome> {
  const { functions } = tools;
  switch (action.do) {
    case 'tick':
      return describeTicks(await Promise.all(partsOf(tools.shards).map((part) => functions.sync(part))));
    case 'pause':
      return await change(
        { action: 'pause', ...(action.note && { note: action.note }) },
        'The timer is paused.',
        tools,
      );
    case 'resume':
      return await change({ action: 'resume' }, 'The timer goes on.', tools);
    case 'reset': {
      const { what, to } = action;
      return await change({ action: 'reset', what, ...(to && { to }) }, RESET[what], tools);
    }
    case 'approve-removals': {
      const { upTo } = action;
      const sentence =
        upTo === 0 ? 'The approval was withdrawn.' : `The next full pass may remove up to ${upTo} records.`;
      return await change({ action: 'approve-removals', upTo }, sentence, tools);
    }
    case 'cancel-backfill': {
      const { backfillId } = action;
      const sentence = 'The backfill ends at its next settled page.';
      return await change({ action: 'cancel-backfill', backfillId }, sentence, tools);
    }
    case 'resume-backfill': {
      const { backfillId } = action;
      await functions.backfill({ backfillId, detach: true, startedBy: tools.startedBy });
      return { outcome: 'done', sentence: 'The backfill goes on where it was.' };
    }
    case 'show-removals':
      return describeRehearsal(await rehearse({}, tools), 'vanished');
    case 'backfill':
      return action.dryRun ? describeRehearsal(await rehearse(action, tools)) : await startBackfill(action, tools);
    case 'retry-failed':
      return await retryFailed(tools);
  }
}

const RESET = {
  checkpoint: 'The unfinished pass was forgotten.',
  failed: 'The list of failed records was emptied.',
  watermark: 'The watermark was reset.',
};

const partsOf = (shards: number): Pick<Part, 'shard'>[] =>
  shards === 1 ? [{}] : Array.from({ length: shards }, (_, index) => ({ shard: { index, of: shards } }));

const rangeOf = ({ since, until, ids }: Part): Part => ({
  ...(since && { since }),
  ...(until && { until }),
  ...(ids && { ids }),
});

async function change(event: Control, sentence: string, { functions }: Tools): Promise<Outcome> {
  const status = await functions.control(event);
  const why = status.notApproved ?? describeSkipped(status, event.action === 'reset' ? 'reset' : 'approved');
  if (why) return { outcome: 'refused', sentence: `${capital(why)}.` };
  return { outcome: 'done', sentence };
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** One shard after the other: a rehearsal takes no lock, but reads as much as a run does. */
async function rehearse(range: Part, { functions, shards }: Tools): Promise<Result[]> {
  const results: Result[] = [];
  for (const part of partsOf(shards)) {
    results.push(await functions.backfill({ ...rangeOf(range), ...part, dryRun: true }));
  }
  return results;
}

/** One event starts it for all shards. */
async function startBackfill(asked: Backfill, { functions, startedBy }: Tools): Promise<Outcome> {
  const { windowSeconds } = asked;
  const event = { ...rangeOf(asked), ...(windowSeconds && { windowSeconds }), detach: true, startedBy } as const;
  const { backfillId } = await functions.backfill(event);
  return { outcome: 'done', sentence: `The backfill ${backfillId ?? ''} has started and goes on by itself.` };
}

/** The list of the timer keeps the records until a tick has read them again and found them well. */
async function retryFailed({ functions, shards }: Tools): Promise<Outcome> {
  const { failed } = await functions.control({ action: 'status' });
  const ids = failed.map(({ id }) => id);
  if (ids.length === 0) return { outcome: 'refused', sentence: 'There are no failed records.' };
  const results: Result[] = [];
  for (const part of partsOf(shards)) {
    results.push(await functions.backfill({ ids, ...part, waitSeconds: WAIT_SECONDS }));
  }
  return describeRetry(ids.length, results);
}
