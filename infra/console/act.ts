import type { Control } from '../../lib/event.ts';
import type { Result } from '../../lib/run/result.ts';
import { addCounts, type Counts, formatCounts, noCounts } from '../operate/counts.ts';
import type { Functions } from '../operate/functions.ts';
import { describeSkipped } from '../operate/status.ts';
import type { Part } from '../operate/windows.ts';
import type { Action } from './action.ts';
import type { Operation } from './api.ts';

interface Tools {
  functions: Functions;
  /** Into how many parts the job is divided. */
  shards: number;
  /** Who starts a backfill that goes on by itself. */
  startedBy: string;
}

type Outcome = Required<Pick<Operation, 'outcome' | 'sentence'>> & Pick<Operation, 'lines'>;

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

function describeTicks(results: Result[]): Outcome {
  const worked = results.filter(({ status }) => status !== 'skipped');
  const skipped = results.find(({ status }) => status === 'skipped');
  if (worked.length === 0 && skipped)
    return { outcome: 'refused', sentence: `The tick was skipped: ${skipped.message ?? skipped.reason}.` };
  const ended = worked.every(({ status }) => status === 'completed') ? 'completed' : 'partial';
  const others = skipped ? ` Of ${results.length} shards, ${results.length - worked.length} were skipped.` : '';
  const sentence = `The tick is ${ended}: ${formatCounts(sum(worked))}.${others}`;
  return { outcome: 'done', sentence, lines: problemsOf(worked) };
}

/** The first records that were not written, each with its reason. */
const problemsOf = (results: Result[]): string[] =>
  results.flatMap(({ problems = [] }) => problems.map(({ id, kind, reason }) => `${kind}: ${id}: ${reason}`));

const sum = (results: Result[]): Counts => results.reduce((all, { report }) => addCounts(all, report), noCounts());

/** One shard after the other: a rehearsal takes no lock, but reads as much as a run does. */
async function rehearse(range: Part, { functions, shards }: Tools): Promise<Result[]> {
  const results: Result[] = [];
  for (const part of partsOf(shards)) {
    results.push(await functions.backfill({ ...rangeOf(range), ...part, dryRun: true }));
  }
  return results;
}

function describeRehearsal(results: Result[], only?: 'vanished'): Outcome {
  const counts = sum(results);
  const early = results.find(({ status }) => status !== 'completed');
  const differences = results.flatMap((result) => result.differences ?? []);
  const shown = only ? differences.filter(({ kind }) => kind === only) : differences;
  const named = shown.map(({ id, kind, fields = [] }) => {
    const names = fields.map(({ name }) => name).join(', ');
    return `${kind}: ${id}${names && ` (${names})`}`;
  });
  const others = results.flatMap(({ differences, wouldWrite = [] }) => (differences ? [] : wouldWrite));
  const lines = [
    ...named,
    ...(only ? [] : others.map((id) => `would be written: ${id}`)),
    ...(only ? [] : problemsOf(results)),
  ];
  const partly = early ? ` It ended early (${early.reason}), so this is not all.` : '';
  const sentence = only
    ? `${counts.removed} records would be removed${counts.removed > shown.length ? `; the first ${shown.length} of them` : ''}.`
    : `A dry run, nothing was written: ${formatCounts(counts, true)}.`;
  return { outcome: 'done', sentence: sentence + partly, lines };
}

/** One event starts it for all shards. */
async function startBackfill(range: Part, { functions, startedBy }: Tools): Promise<Outcome> {
  const { backfillId } = await functions.backfill({ ...rangeOf(range), detach: true, startedBy });
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
  const skipped = results.find(({ status }) => status === 'skipped');
  if (skipped) return { outcome: 'refused', sentence: `Nothing was tried: ${skipped.message ?? skipped.reason}.` };
  const lines = problemsOf(results);
  const sentence = `Of ${ids.length} failed records: ${formatCounts(sum(results))}. The next tick clears the list.`;
  return { outcome: lines.length > 0 ? 'failed' : 'done', sentence, lines };
}
