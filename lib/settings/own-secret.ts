import type { StandardSchemaV1 } from '@standard-schema/spec';
import { textsIn } from '../hidden-texts.ts';
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
  // What is shorter stands in any text.
  const values = [...textsIn(given)].filter(({ length }) => length >= 4);
  const faults = checked.issues.map((issue) => {
    const place = placeOf(issue);
    if (place !== '' && foundAt(issue, given) === undefined) return `${place} is missing`;
    const expectation = expectationOf(issue);
    const quotes = values.some((value) => expectation.includes(value));
    return `${place || 'the value'}: ${quotes ? 'is not what the job declares' : expectation}`;
  });
  return { parts: undefined, faults };
}
