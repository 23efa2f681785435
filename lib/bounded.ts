/** The most bytes of a message, and of one text in a log line. */
export const MAX_TEXT_BYTES = 2000;

/** The most faults that one message lists, and the most bytes of each. */
const MAX_FAULTS = 20;
const MAX_FAULT_BYTES = 300;

/** The most UTF-16 units of a stack that is passed on as it is. */
const MAX_STACK_LENGTH = 8000;

const encoder = new TextEncoder();

/**
 * `text` as it is, or where it is longer than `maxBytes` in UTF-8 its beginning, an ellipsis and its length, together within
 * `maxBytes`. Messages quote strangers' text: without a bound one id of a megabyte would be a log line of a megabyte.
 */
export function bounded(text: string, maxBytes: number = MAX_TEXT_BYTES): string {
  // A UTF-16 unit takes at most three bytes, so most texts need not be measured.
  if (text.length * 3 <= maxBytes) return text;
  const bytes = Buffer.byteLength(text);
  if (bytes <= maxBytes) return text;
  const rest = `… (${bytes} bytes)`;
  // Writes whole characters only.
  const { read } = encoder.encodeInto(text, new Uint8Array(Math.max(0, maxBytes - Buffer.byteLength(rest))));
  return text.slice(0, read) + rest;
}

/** The first faults on one line, each within its bound, so that a long one does not hide those after it. */
export function listFaults(faults: readonly string[]): string {
  const listed = faults.slice(0, MAX_FAULTS).map((fault) => bounded(fault, MAX_FAULT_BYTES));
  const more = faults.length > MAX_FAULTS ? [`and ${faults.length - MAX_FAULTS} more`] : [];
  return [...listed, ...more].join('; ');
}

/**
 * What a function answers for something that was thrown. A job's own code may throw anything, and Lambda answers with message
 * and stack, however long they are.
 * @returns the error itself, or one of the same name with a shorter message
 */
export function boundError(thrown: unknown): Error {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const message = bounded(String(error.message));
  if (message === error.message && (error.stack?.length ?? 0) <= MAX_STACK_LENGTH) return error;
  // The stack of an error begins with its message.
  const frames = /(\n {4}at .*){0,10}$/.exec(error.stack ?? '')?.[0] ?? '';
  const short = Object.assign(new Error(message, { cause: error.cause }), { name: bounded(String(error.name), 100) });
  short.stack = `${short.name}: ${message}${bounded(frames)}`;
  return short;
}
