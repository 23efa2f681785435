import { HttpError, SourceError } from '../errors.ts';
import type { HttpAnswer } from '../http/client.ts';
import { excerptOf } from '../http/excerpt.ts';
import type { Head } from '../http/throttling.ts';
import { GarbledAnswer } from './page-answer.ts';

/**
 * The error for an answer that is none of what was asked for.
 * @param name of the request and its server
 * @param secret no part of it is in the message
 */
export function refusal(name: string, answer: Head & { raw?: HttpAnswer }, secret: unknown): SourceError {
  const { status, verdict, raw, signed } = answer;
  const reason = raw ? excerptOf({ ...raw, ...(signed && { signed }) }, secret) : '';
  const message = `${name} was answered with ${status}${reason}`;
  if (!verdict) return new SourceError(message, { status });
  // What is tried again says nothing about a single record.
  const cause = verdict === 'retry' ? new HttpError('the check of the job wants to try again', true) : undefined;
  return new SourceError(`${message} (the check of the job says: ${verdict})`, { cause });
}

/** @throws what `cause` means to a reader of a list */
export function fail(name: string, cause: unknown): never {
  if (cause instanceof GarbledAnswer) throw new SourceError(`${name}: ${cause.message}`);
  if (cause instanceof HttpError) throw new SourceError(`${name}: ${cause.message}`, { cause });
  throw cause;
}

/** The body of a stream; its errors are those of a list. */
export async function* arriving(name: string, body: AsyncIterable<Uint8Array>) {
  try {
    yield* body;
  } catch (cause) {
    fail(name, cause);
  }
}
