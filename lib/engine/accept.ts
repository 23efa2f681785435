import type { StandardSchemaV1 } from '@standard-schema/spec';
import { isInexact } from '../inexact-number.ts';
import { expectationOf, foundAt, placeOf } from '../schema-faults.ts';

/** What is to be done with a record. */
export interface Prepared {
  /** What it counts as once that is done; an unchanged one needs nothing. */
  as: 'written' | 'removed' | 'unchanged';
  /**
   * Sends a request of the record's own; called at most once. Resolves to false where there was nothing to remove: that does not
   * say that the target takes anything. A TargetError fails the record, Interrupted leaves it unsettled, any other error ends the
   * run. Undefined where the record goes into a batch.
   */
  write?: (() => Promise<unknown>) | undefined;
  /** About how many bytes it adds to a batch; 0 where that does not matter. */
  bytes?: number | undefined;
  /** A short hash of what is written; undefined where that is known only while it is written. */
  content(): string | undefined;
}

/** A record that matches its schema, and what is to be done with it. */
export interface Accepted<R> extends Prepared {
  record: R;
  id: string;
  /** When it changed at the source, in ms since 1970; NaN where that is unknown. */
  updatedAtMs: number;
}

/** A record that does not. */
export interface Invalid {
  /** Its id if that can be made out, or else its place. */
  id: string;
  faults: string;
  raw: unknown;
}

/** How to check a record and prepare its write. */
export interface Acceptance<R> {
  schema: StandardSchemaV1<unknown, R>;
  id(record: R): string;
  /** NaN where that cannot be made out. */
  updatedAtMs?: ((record: R) => number) | undefined;
  prepare(record: R): Prepared;
  /** Called where the schema has made another id of a record than the source gives. */
  idChanged?: (() => void) | undefined;
}

/** Of the faults of one record, this many are named. */
const MAX_FAULTS = 10;

/**
 * Makes the function that checks and prepares a batch of raw records. A batch is faster than one record now and then:
 * between two system calls, code and data are cold. Whatever the job's own functions cannot cope with makes the record
 * invalid, and nothing else: it never throws, nor does its promise reject, which it gives where the schema gives one.
 */
export function accepting<R>(
  job: Acceptance<R>,
): (batch: readonly unknown[], page: number, firstIndex: number) => Batch<R> | Promise<Batch<R>> {
  type Checked = Accepted<R> | string;

  function conclude({ issues, value }: Validated<R>, raw: unknown): Checked {
    if (issues)
      return issues
        .slice(0, MAX_FAULTS)
        .map((issue) => describe(issue, raw))
        .join('; ');
    try {
      const id: unknown = job.id(value);
      // A path that ends without an id is usually that of all records.
      if (typeof id !== 'string' || id === '') return 'the job gives it no id';
      const updatedAtMs = job.updatedAtMs?.(value) ?? Number.NaN;
      const { as, write, bytes, content } = job.prepare(value);
      if (job.idChanged && idOfRaw(job.id, raw) !== id) job.idChanged();
      return { record: value, id, updatedAtMs, as, write, bytes, content };
    } catch (error) {
      return faultOf(error);
    }
  }
  // Without the message, which may quote the record.
  const faultOf = (error: unknown) => `the job threw ${(error as Error)?.name}`;

  function check(raw: unknown): Checked | Promise<Checked> {
    try {
      const validated = job.schema['~standard'].validate(raw) as Validated<R> | Promise<Validated<R>>;
      return 'then' in validated
        ? Promise.resolve(validated)
            .then((result) => conclude(result, raw))
            .catch(faultOf)
        : conclude(validated, raw);
    } catch (error) {
      return faultOf(error);
    }
  }

  /** By its id if the job can make that out, or else by its place. */
  function nameOf(raw: unknown, page: number, index: number): string {
    return idOfRaw(job.id, raw)?.slice(0, 512) ?? `record ${index + 1} of page ${page}`;
  }

  return (batch, page, firstIndex) => {
    const named = (checked: Checked[]): Batch<R> =>
      checked.map((result, index) => {
        if (typeof result !== 'string') return result;
        const raw = batch[index];
        return { id: nameOf(raw, page, firstIndex + index), faults: result, raw };
      });
    const checked = batch.map(check);
    // Most schemas answer at once: then there is nothing to wait for, and no promise of each record.
    return checked.some(isPromise) ? Promise.all(checked).then(named) : named(checked as Checked[]);
  };
}

type Batch<R> = (Accepted<R> | Invalid)[];

const isPromise = (value: unknown) => value instanceof Promise;

/** The id that the job makes of a record as the source gives it; undefined where it makes none. */
export function idOfRaw<R>(idOf: (record: R) => string, raw: unknown): string | undefined {
  try {
    const id: unknown = idOf(raw as R);
    return typeof id === 'string' && id !== '' ? id : undefined;
  } catch {
    return undefined;
  }
}

interface Validated<R> {
  issues?: readonly StandardSchemaV1.Issue[];
  value: R;
}

/** Where a record is wrong and what was expected there, without what it holds. */
function describe(issue: StandardSchemaV1.Issue, raw: unknown) {
  const fault = isInexact(foundAt(issue, raw))
    ? 'the number has more digits than JavaScript keeps and would be altered: declare it as exactNumber'
    : expectationOf(issue);
  return `${placeOf(issue) || 'the record'}: ${fault}`.slice(0, 200);
}
