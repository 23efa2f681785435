import type { StandardSchemaV1 } from '@standard-schema/spec';
import { expectationOf, foundAt, placeOf } from '../schema-faults.ts';

/** The part of a job that says what its secret holds. */
export interface OwnSecret {
  secret?: StandardSchemaV1<unknown, unknown> | undefined;
}

/** Checks the parts of a secret that are the job's own. The faults quote nothing of them. */
export async function readOwnParts(
  given: Record<string, unknown>,
  { secret: schema }: OwnSecret,
): Promise<{ parts: unknown; faults: string[] }> {
  if (!schema) return { parts: {}, faults: Object.keys(given).map((key) => `unknown key ${key}`) };
  const checked = await schema['~standard'].validate(given);
  if (!checked.issues) return { parts: checked.value, faults: [] };
  const values = [...textsIn(given)];
  const faults = checked.issues.map((issue) => {
    const place = placeOf(issue);
    if (place !== '' && foundAt(issue, given) === undefined) return `${place} is missing`;
    const expectation = expectationOf(issue);
    const quotes = values.some((value) => expectation.includes(value));
    return `${place || 'the value'}: ${quotes ? 'is not what the job declares' : expectation}`;
  });
  return { parts: undefined, faults };
}

/** What is shorter than this stands in any text. */
const LEAST_LENGTH = 4;

function* textsIn(value: unknown): Generator<string> {
  if (typeof value === 'string' && value.length >= LEAST_LENGTH) yield value;
  if (typeof value === 'number') yield* textsIn(String(value));
  if (typeof value === 'object' && value !== null) for (const part of Object.values(value)) yield* textsIn(part);
}
