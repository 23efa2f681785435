import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = '.solotick-dev.json';

/** A running `npm run dev`: the address of its Invoke API, its stage and its jobs. */
export interface Announcement {
  url: string;
  stage: string;
  jobs: { job: string; shards: number; timer?: Timer }[];
}

/** When a job's ticks are due. */
export interface Timer {
  /** As EventBridge Scheduler writes it. */
  expression: string;
  timezone: string;
  enabled: boolean;
  /** Takes the place of the expression. */
  everyMs?: number | undefined;
  /** When a rate began; of a deployed one only AWS knows that. */
  start?: string;
}

/**
 * Writes `own` into `folder` until this process exits, so that a command with `--local` in another terminal finds this
 * process. At exit, the announcement of an earlier `npm run dev` returns.
 */
export function announce(folder: string, own: Announcement): void {
  const earlier = readAnnouncement(folder);
  const write = (announcement: Announcement) => writeFileSync(join(folder, FILE), JSON.stringify(announcement));
  write(own);
  process.once('exit', () => {
    // A later `npm run dev` may have replaced it.
    if (readAnnouncement(folder)?.url !== own.url) return;
    if (earlier) write(earlier);
    else rmSync(join(folder, FILE), { force: true });
  });
}

/** Reads the announcement in `folder`. After a kill -9 it remains, although nobody listens there any more. */
export function readAnnouncement(folder: string): Announcement | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, FILE), 'utf8'));
  } catch {
    return undefined;
  }
}
