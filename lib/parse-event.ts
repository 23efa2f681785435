import * as v from 'valibot';
import { listFaults } from './bounded.ts';
import { EventError } from './errors.ts';

export const natural = v.pipe(v.number(), v.integer(), v.minValue(0));

export const backfillId = v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/, 'must be an id from an earlier result'));

export const shard = v.pipe(
  v.strictObject({ index: natural, of: natural }),
  v.check(({ index, of }) => index < of, 'index must be below of'),
);

/**
 * Parses an event by its schema.
 * @param name of the kind of event, for the message
 * @throws EventError that names each fault and its place
 */
export function parseEvent<T>(name: string, schema: v.GenericSchema<unknown, T>, event: unknown): T {
  // valibot takes an array for an object.
  if (Array.isArray(event)) throw new EventError(`the ${name} event was refused: it is a list, not an object`);
  const parsed = v.safeParse(schema, event, { abortPipeEarly: true });
  if (parsed.success) return parsed.output;
  const faults = parsed.issues.map((issue) => {
    const path = v.getDotPath(issue);
    if (issue.expected === 'never') return `unknown key ${path}`;
    if (issue.received === 'undefined' && issue.message.startsWith('Invalid key')) return `${path} is missing`;
    return path ? `${path}: ${issue.message}` : issue.message;
  });
  throw new EventError(`the ${name} event was refused: ${listFaults(faults)}`);
}
