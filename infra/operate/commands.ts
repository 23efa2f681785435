import type { Control } from '../../lib/event.ts';

type Reset = Extract<Control, { action: 'reset' }>;

/** The parts of the state that can be reset. */
export const RESETTABLE: readonly Reset['what'][] = ['checkpoint', 'watermark', 'failed'];

const string = (usage: string) => ({ usage, type: 'string' });
const boolean = (usage: string) => ({ usage, type: 'boolean' });

const local = { local: boolean('Invoke the functions of a running "npm run dev"') };
const json = { json: boolean("Print the function's answer as JSON") };
const job = { job: string('The job; it may be left out where there is one') };

/** The commands for operators, as osls declares commands and prints their help; it has `invoke` and `logs` already. */
export const commands = {
  invoke: { options: local },
  logs: { options: local },
  backfill: {
    usage:
      'Copy a range of time, single records, or everything, by hand; it goes on in the cloud without this terminal',
    lifecycleEvents: ['run'],
    options: {
      since: string('Copy records changed at this time or later: 2026-01-31, or 2026-01-31T12:00:00Z'),
      until: string('Copy records changed before this time'),
      ids: string('Copy the records with these ids: a,b or \'["a","b"]\''),
      all: boolean('Copy everything'),
      'dry-run': boolean('Read and check the records, print what would be written, and write nothing'),
      wait: string('Not needed any more: a backfill waits for the lock by itself'),
      window: string('Cut a long range into windows of this length: 12h, 1d, 7d'),
      concurrency: string('The most writes in flight'),
      detach: boolean('Start it and return, instead of watching it'),
      watch: string('Show how far the backfill with this id is; Ctrl-C leaves it running'),
      cancel: string('End the backfill with this id at its next page; what it has written stays'),
      resume: string('Go on with the backfill with this id where it was, after it has failed or was cancelled'),
      shard: string('Copy only this shard, if the job runs in shards'),
      ...job,
      ...local,
    },
  },
  diff: {
    usage: 'Compare the target with the source, and write nothing; exit code 0 if they agree',
    lifecycleEvents: ['run'],
    options: {
      since: string('Compare only records changed at this time or later: 2026-01-31, or 2026-01-31T12:00:00Z'),
      until: string('Compare only records changed before this time'),
      values: boolean('Show the values that differ, not only the names of their fields'),
      ...job,
      ...json,
      ...local,
    },
  },
  console: {
    usage: 'Show the jobs on a page of this machine, from which all of this can be done, for as long as it runs',
    lifecycleEvents: ['run'],
    options: {
      open: boolean(
        'Open the page in the browser, which is the default on a terminal; --no-open only prints its address',
      ),
      ...local,
    },
  },
  status: {
    usage: 'Show who holds the lock, the last run, and what remains to be done; of all jobs in one table, or of one',
    lifecycleEvents: ['run'],
    options: { job: string('The job to show more of'), ...json, ...local },
  },
  history: {
    usage: 'Show the last runs, and the ticks that were skipped between them; of all jobs, or of one',
    lifecycleEvents: ['run'],
    options: { job: string('The job to show'), json: boolean('Print all that is known of them as JSON'), ...local },
  },
  pause: {
    usage: 'Make the timer skip its ticks until "serverless resume"',
    lifecycleEvents: ['run'],
    options: { note: string('The reason, which "serverless status" shows'), ...job, ...json, ...local },
  },
  resume: { usage: 'End a pause', lifecycleEvents: ['run'], options: { ...job, ...json, ...local } },
  reset: {
    usage: 'Reset a part of the saved state',
    lifecycleEvents: ['run'],
    options: {
      what: { ...string(`What to reset: ${RESETTABLE.join(', ')}`), required: true },
      to: string('With --what watermark: the time from which the next tick reads; otherwise, it reads everything'),
      ...job,
      ...json,
      ...local,
    },
  },
  'approve-removals': {
    usage: 'Let the next full pass remove records that are withheld, because they are many',
    lifecycleEvents: ['run'],
    options: {
      'up-to': {
        ...string(
          'The most records that it may remove; "serverless status" shows how many wait, and 0 withdraws an approval',
        ),
        required: true,
      },
      ...job,
      ...json,
      ...local,
    },
  },
};
