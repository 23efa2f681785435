import type { Report } from '../report.ts';

/** What is known of a backfill that goes on by itself, all shards together. */
export interface BackfillStatus {
  id: string;
  status: 'running' | 'completed' | 'failed' | 'cancelled';
  since?: string;
  until?: string;
  /** How many records it was asked for, where it was asked for single ones. */
  ids?: number;
  /** How many windows its range is cut into. */
  windows: number;
  /** How many of them are through, in the shard that is least far. */
  window: number;
  shards: number;
  shardsDone: number;
  /** How much of it is done, from 0 to 1: the mean over the shards. */
  done: number;
  /** Of all windows and shards, with the settled pages of the windows that are under way. */
  counts: Report;
  /** Records read in a second by the last invocations, summed over the shards. */
  rate?: number;
  startedAt: string;
  updatedAt: string;
  endedAt?: string;
  startedBy?: string;
  /** How many invocations in a row have settled no page. */
  attempts: number;
  /** When it goes on, where a server or an error makes it wait. */
  notBefore?: string;
  lastError?: { name: string; code: string; message: string };
  /** How many records it could not write, and the first of their ids. */
  failedCount?: number;
  failed?: string[];
}
