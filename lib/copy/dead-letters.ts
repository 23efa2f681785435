import { hash } from 'node:crypto';
import type { Log } from '../log.ts';

/** A record that needs somebody's attention; sent as JSON, with the job, the stage, the shard and the run. */
interface DeadLetter {
  id: string;
  kind: 'invalid' | 'failed';
  reason?: string | undefined;
  /** The number of runs that tried to write it. */
  attempts?: number;
  /** As the source sent it; left out where it is too long for a message. */
  record?: unknown;
}

export interface DeadLetters {
  /**
   * Sends an invalid record, once for each content. Resolves when it is sent, or when sending failed, which is logged;
   * undefined when there is nothing to send.
   */
  invalid(letter: DeadLetter): Promise<void> | undefined;
  /** Sends records that are given up. @returns the ids of those that arrived */
  givenUp(letters: DeadLetter[]): Promise<string[]>;
  /** Short hashes of the contents that were sent, the last seen ones last, for the next run. */
  known(): string[];
}

/** The most contents that are remembered. When a run sees more invalid ones, the rest of them is only listed. */
const MAX_KNOWN = 1000;

/** Below 256 KiB, SQS's smallest bound on a message; measured in the characters of its JSON. */
const MAX_RECORD_LENGTH = 60_000;

const SENDS_AT_A_TIME = 10;

/**
 * After this many losses in a row the queue is left alone for a while: a silent one delays each record until all attempts
 * have timed out, and one that is down fills the log.
 */
const LOST_BEFORE_PAUSE = 10;
const PAUSE_MS = 60_000;

/** No XML can carry these: SQS refuses or replaces them, and JSON leaves them as they are. */
const NONCHARACTERS = /[\ufffe\uffff]/g;
const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16)}`;

/**
 * Opens the dead-letter queue of a run; without a URL nothing is sent. Delivery is at least once: a run that is killed may
 * not have saved what it sent.
 * @param options.known what `known()` of the last run gave
 * @param options.signal gives up what is being sent
 */
export function openDeadLetters(options: {
  url: string | undefined;
  known: readonly string[];
  origin: { job: string; stage: string; shard: string | undefined; runId: string };
  log: Log;
  signal: AbortSignal;
}): DeadLetters {
  const { url, known, origin, log, signal } = options;
  const remembered = new Set(known);
  const seen = new Set<string>();
  /** Contents that are being sent, and must not be saved as sent yet. */
  const underWay = new Set<string>();
  let full = false;
  let lostInARow = 0;
  let pausedUntilMs = 0;
  let opened: Promise<(body: string) => Promise<unknown>> | undefined;

  /** @returns whether it has arrived */
  async function send(letter: DeadLetter): Promise<boolean> {
    if (performance.now() < pausedUntilMs) return false;
    try {
      opened ??= import('./dead-letter-queue.ts').then(({ openQueue }) => openQueue(url!, signal));
      const put = await opened;
      const at = new Date().toISOString();
      const json = JSON.stringify({ ...origin, at, ...letter });
      await put(json.replace(NONCHARACTERS, escaped));
      lostInARow = 0;
      return true;
    } catch (error) {
      // A letter that was under way when the pause began says nothing new.
      if (performance.now() < pausedUntilMs) return false;
      log.error('a record did not reach the dead-letter queue', { id: letter.id, error });
      if (++lostInARow < LOST_BEFORE_PAUSE || signal.aborted) return false;
      pausedUntilMs = performance.now() + PAUSE_MS;
      log.error(`${lostInARow} in a row did not: the dead-letter queue is left alone for ${PAUSE_MS / 1000} s`);
      return false;
    }
  }

  /** @returns whether this content is to be sent */
  function remember(content: string): boolean {
    const isKnown = remembered.delete(content);
    if (!isKnown && remembered.size >= MAX_KNOWN) {
      const [oldest] = remembered;
      if (seen.has(oldest!)) {
        if (!full) log.warn(`more than ${MAX_KNOWN} invalid records: the rest does not go to the dead-letter queue`);
        full = true;
        return false;
      }
      remembered.delete(oldest!);
    }
    // Seen last, forgotten last.
    remembered.add(content);
    seen.add(content);
    return !isKnown;
  }

  return {
    invalid({ record, ...letter }) {
      if (url === undefined) return;
      const json = JSON.stringify(record) ?? '';
      const content = hash('sha256', json).slice(0, 16);
      if (!remember(content)) return;
      underWay.add(content);
      return send({ ...letter, ...(json.length <= MAX_RECORD_LENGTH && { record }) }).then((arrived) => {
        underWay.delete(content);
        if (arrived) return;
        remembered.delete(content);
        seen.delete(content);
      });
    },
    async givenUp(letters) {
      if (url === undefined) return [];
      const arrived: string[] = [];
      const rest = letters.values();
      const lane = async () => {
        for (const letter of rest) if (!signal.aborted && (await send(letter))) arrived.push(letter.id);
      };
      await Promise.all(Array.from({ length: SENDS_AT_A_TIME }, lane));
      return arrived;
    },
    known: () => [...remembered].filter((content) => !underWay.has(content)),
  };
}
