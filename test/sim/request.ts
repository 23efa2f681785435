import type { Server } from './history.ts';

/** A request to a simulated server. */
export interface Request {
  to: Server;
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: string | undefined;
  madeAtMs: number;
  /** When the sender has stopped to wait for an answer. */
  endedAtMs?: number;
}

/** What a simulated server answers. */
export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
}
