import { Logger } from '@aws-lambda-powertools/logger';
import { bounded, MAX_TEXT_BYTES } from './bounded.ts';

/** Writes one JSON object a line, never with a secret, a token or a record's body. */
export type Log = Pick<Logger, 'info' | 'warn' | 'error' | 'appendKeys'>;

/** The most bytes of all texts in a line; a line that CloudWatch would cut is no JSON any more. */
const MAX_LINE_BYTES = 32_000;

/** The most entries of a list. */
const MAX_LIST = 100;

/** A stack begins with the error's message. */
const MAX_STACK_BYTES = 2 * MAX_TEXT_BYTES;

/** Where less than this is left of a line, the rest of its fields is left out. */
const MIN_TEXT_BYTES = 50;

/** The process's logger. Each line carries the job's name; keys appended later last for one invocation. */
export function createLog(job: string): Logger {
  return new Logger({ serviceName: 'solotick', persistentKeys: { job }, jsonReplacerFn: boundedFields() });
}

/** Makes the function that `JSON.stringify` calls for each field: it bounds each text, and all of a line together. */
export function boundedFields() {
  let leftBytes = 0;
  return (key: string, value: unknown): unknown => {
    // The whole line comes first, and without a key.
    if (key === '') leftBytes = MAX_LINE_BYTES;
    // HTTP parsers attach the bytes that they could not read to their error: perhaps a record, perhaps a secret.
    if (key === 'data' || key === 'rawPacket') return 'left out';
    if (leftBytes < MIN_TEXT_BYTES + key.length) return undefined;
    // A name costs as well, and so do the braces of what is empty.
    leftBytes -= key.length + 4;
    if (Array.isArray(value)) return value.slice(0, MAX_LIST);
    if (typeof value !== 'string') return value;
    const text = bounded(value, Math.min(key === 'stack' ? MAX_STACK_BYTES : MAX_TEXT_BYTES, Math.max(leftBytes, 0)));
    leftBytes -= Buffer.byteLength(text);
    return text;
  };
}
