import { setTimeout as sleep } from 'node:timers/promises';
import type { Jobs } from '../operate/jobs.ts';
import { act } from './act.ts';
import type { Asked } from './action.ts';
import type { Operation } from './api.ts';
import { troubleOf } from './trouble.ts';

/** The page waits this long for the outcome; after that it hears of it with the statuses. */
const ANSWER_AFTER_MS = 2500;

/** As many outcomes are kept. */
const MAX_KEPT = 30;

interface Operations {
  /** Begins what was asked for, and waits a moment for its outcome. */
  begin(asked: Asked): Promise<Operation>;
  /** What was begun, newest first. */
  list(): Operation[];
}

/**
 * Carries out what is asked for on the page and keeps what came of it, because a run may take a quarter of an hour, and a page
 * may be closed before.
 */
export function createOperations(tools: { jobs: Jobs; local: boolean; startedBy: string }): Operations {
  const { jobs, local, startedBy } = tools;
  const operations: Operation[] = [];
  let lastId = 0;

  async function carryOut(operation: Operation, { job, action }: Asked): Promise<void> {
    try {
      const shards = jobs.shardsOf(job);
      Object.assign(operation, await act(action, { functions: jobs.of(job), shards, startedBy }));
    } catch (error) {
      const { message, advice } = troubleOf(error, { local, asked: 'action' });
      Object.assign(operation, { outcome: 'failed', sentence: `${message} ${advice}` });
    }
    operation.endedAt = new Date().toISOString();
  }

  return {
    async begin(asked) {
      const startedAt = new Date().toISOString();
      const { job, action } = asked;
      const operation: Operation = { id: ++lastId, job, action: action.do, startedAt, sentence: 'It is under way.' };
      operations.unshift(operation);
      operations.splice(MAX_KEPT);
      const waited = new AbortController();
      const moment = sleep(ANSWER_AFTER_MS, undefined, { signal: waited.signal }).catch(() => undefined);
      await Promise.race([carryOut(operation, asked), moment]);
      waited.abort();
      return operation;
    },
    list: () => operations,
  };
}
