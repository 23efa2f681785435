import * as v from 'valibot';
import { digitsOf, type ExactNumber, type InexactNumber, isInexact, rawJson } from './inexact-number.ts';

const isNumber = (input: unknown) => Number.isFinite(input) || isInexact(input);

/**
 * Accepts every number of the source, however many digits it has. Its value is not a number but its digits, which
 * `JSON.stringify` writes as they are; `rawJSON` holds them as text. It is a schema of valibot, and a Standard Schema.
 */
export const exactNumber = v.pipe(
  v.custom<number | InexactNumber>(isNumber, 'must be a number'),
  v.transform((input): ExactNumber => rawJson(typeof input === 'number' ? String(input) : digitsOf(input))),
);
