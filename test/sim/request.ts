import type { Server } from './history.ts';

/** A request to a simulated server. */
export interface Request {
  /** The name of the process that makes it. */
  by: string;
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
  /** For how long the server wants to be left alone from now on. */
  pauseMs?: number;
}
