import type { StandardSchemaV1 } from '@standard-schema/spec';

/** A record that is of the schema. */
export interface Accepted<R> {
  record: R;
  id: string;
  updatedAt: string | undefined;
}

/** How many faults of one record are told. */
const MAX_FAULTS = 10;

/**
 * Makes the function that checks what the source sent for one record. Whatever the job's own functions cannot cope with
 * makes the record invalid, and nothing else.
 */
export function accepting<R>(job: {
  schema: StandardSchemaV1<unknown, R>;
  id(record: R): string;
  updatedAt?: ((record: R) => string | undefined) | undefined;
}): (raw: unknown) => Promise<Accepted<R> | { faults: string }> {
  return async (raw) => {
    try {
      const { issues, value } = (await job.schema['~standard'].validate(raw)) as Checked<R>;
      if (issues) return { faults: issues.slice(0, MAX_FAULTS).map(describe).join('; ') };
      return { record: value, id: job.id(value), updatedAt: job.updatedAt?.(value) };
    } catch (error) {
      // Not the message, which may quote the record.
      return { faults: `the job threw ${(error as Error).name}` };
    }
  };
}

interface Checked<R> {
  issues?: readonly StandardSchemaV1.Issue[];
  value: R;
}

/** Where a record is wrong and what was expected there, but not what it holds. */
function describe({ path, message }: StandardSchemaV1.Issue) {
  const place = path?.map((part) => String(typeof part === 'object' ? part.key : part)).join('.') || 'the record';
  return `${place}: ${message.replace(/,?( but)? received .*$| \(was .*$/s, '')}`.slice(0, 200);
}

/** What an invalid record is called: by its id if that can be made out, or else by its place. */
export function nameOf(raw: unknown, page: number, index: number) {
  const { id } = Object(raw);
  return typeof id === 'string' && id !== '' ? id.slice(0, 512) : `record ${index + 1} of page ${page}`;
}
