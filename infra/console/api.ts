import type { Status } from '../../lib/run/status.ts';
import type { Timer } from '../terminal/announce.ts';

/** What the page asks the console's process for, every few seconds. */
export interface Answer {
  stage: string;
  /** Whether the functions are those of `npm run dev`. */
  local: boolean;
  /** When the answer began. */
  at: string;
  jobs: JobView[];
  /** What was done from this console, newest first. */
  operations: Operation[];
}

/** One job: its status, or why there is none. */
export interface JobView {
  job: string;
  shards: number;
  timer?: Timer;
  /** When the next tick is due, where that can be known. */
  nextDue?: string;
  status?: Status;
  trouble?: Trouble;
}

/** Why a function could not be asked, or failed. */
export interface Trouble {
  kind: 'credentials' | 'denied' | 'unreachable' | 'missing' | 'failed' | 'late' | 'other';
  /** What happened. */
  message: string;
  /** What to do about it. */
  advice: string;
}

/** An action that was asked for on the page. */
export interface Operation {
  id: number;
  job: string;
  /** Such as `tick` or `pause`. */
  action: string;
  startedAt: string;
  endedAt?: string;
  outcome?: 'done' | 'refused' | 'failed';
  /** What came of it, or that it goes on. */
  sentence: string;
  /** More to it, a line each. */
  lines?: string[];
}
