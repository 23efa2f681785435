import type { Signed } from '../auth.ts';
import { textsIn, withoutTexts } from '../hidden-texts.ts';
import { MAX_REFUSAL_BYTES } from './answer.ts';
import type { HttpAnswer } from './client.ts';
import { decoded } from './decoding.ts';

/** The most characters of an answer's body in an error. */
const MAX_LENGTH = 200;

/**
 * What a server says about a refusal, as the end of a message: `: no such field`. Empty where the body is not text or JSON,
 * or says nothing.
 * @param secrets values of which no part may be shown
 */
export function excerptOf(answer: HttpAnswer & { signed?: Signed }, ...secrets: unknown[]): string {
  const type = `${answer.headers['content-type'] ?? ''}`;
  if (!/^\s*(text\/|application\/([\w.+-]*\+)?(json|xml)\b)/i.test(type)) return '';
  let text: string;
  try {
    text = Buffer.from(decoded(answer, MAX_REFUSAL_BYTES)).toString();
  } catch {
    return '';
  }
  // Where the body was cut, the rest of a secret that was cut with it would not be recognised.
  if (text.length > MAX_REFUSAL_BYTES / 2) text = text.slice(0, MAX_REFUSAL_BYTES / 4);
  return shownOf(text, ...secrets, textsOf(answer.signed));
}

/**
 * A text of a server as the end of a message, cut, and without control characters: `: no such field`. Empty where it says nothing.
 * @param secrets values of which no part may be shown
 */
export function shownOf(text: string, ...secrets: unknown[]): string {
  const shown = withoutTexts(
    text,
    secrets.flatMap((secret) => [...textsIn(secret)]),
  )
    .replace(/[\s\p{C}]+/gu, ' ')
    .trim();
  if (!/[\p{L}\p{N}]/u.test(shown)) return '';
  return `: ${shown.length > MAX_LENGTH ? `${shown.slice(0, MAX_LENGTH - 1).toWellFormed()}…` : shown}`;
}

/** A header holds a token behind the name of its scheme. */
function textsOf(signed: Signed | undefined): string[] {
  if (!signed) return [];
  const values = Object.values(signed.headers).flatMap((value) => [value, value.replace(/^\S+ /, '')]);
  return [...values, ...new URLSearchParams(signed.query).values()];
}
