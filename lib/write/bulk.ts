import { TargetError } from '../errors.ts';
import type { HttpAnswer } from '../http/client.ts';
import { shownOf } from '../http/excerpt.ts';
import { answerOf } from '../http/verdict.ts';
import type { Outcome, Request, WriteContext, WriteMany } from '../job-types.ts';
import { type MakeRequest, placeOf, type RecordRequest, unmade, withMethod } from './write-request.ts';

/** The most bytes that `results` can see of an answer. */
export const MAX_RESULTS_BYTES = 16 * 1024 * 1024;

/** Below this part of the bytes that were expected, batches could have more records. */
const MUCH_LESS = 0.8;

/** Writes many records with one request. */
export interface Bulk<R> {
  /** The most records of a request. */
  max: number;
  /** The most bytes of the records of a request as JSON, by what the requests so far have shown. */
  maxBytes(): number;
  /** How many bytes a record has as JSON; 0 where there is no bound, or where it is none. */
  bytesOf(record: R): number;
  /**
   * Sends one request for these records.
   * @param answered how often the target has answered that it wants to see them again: a target that remembers keys would give
   * the same answer once more to the same key
   * @returns what kept each one from being written, in their order
   * @throws TargetError where that concerns all of them, and what concerns the run
   */
  write(batch: InBatch<R>[], answered?: number): Promise<(TargetError | undefined)[]>;
}

/** A record of a batch. */
export interface InBatch<R> {
  id: string;
  record: R;
  updatedAtMs: number;
  /** What `bytesOf` gave. */
  bytes?: number | undefined;
  /** A short hash of the record. */
  content(): string | undefined;
}

/** Prepares the bulk writes of a job. @param by.secret what no error may show */
export function openBulk<R>(
  many: WriteMany<R>,
  by: {
    context: WriteContext<unknown>;
    requestFor: MakeRequest<R[]>;
    /** How often the record has changed within the pass, where this content of it is written now. */
    changesOf: (id: string, content: string) => number;
    call: (request: RecordRequest) => Promise<HttpAnswer>;
    secret: () => unknown;
  },
): Bulk<R> {
  const { max, maxBytes = Number.POSITIVE_INFINITY, results } = many;
  const { context, requestFor, changesOf, call, secret } = by;
  /** Bytes of a body for each byte of its records as JSON; measured again where it proves wrong. */
  let overhead = 1;

  function checkSize(records: R[], jsonBytes: number, body: string | Uint8Array | undefined) {
    const bytes = Buffer.byteLength(body ?? '');
    // A small body says little: what it has beside the records may be most of it.
    if (jsonBytes > 0 && (bytes > maxBytes || bytes < MUCH_LESS * overhead * jsonBytes)) overhead = bytes / jsonBytes;
    if (bytes <= maxBytes) return;
    const what = records.length === 1 ? 'the record' : `${records.length} records`;
    throw new TargetError(`a request for ${what} has ${bytes} bytes, more than maxBytes ${maxBytes}`, {
      refused: true,
    });
  }

  function outcomesOf(answer: HttpAnswer, records: R[]): (TargetError | undefined)[] {
    if (!results) return records.map(() => undefined);
    let said: Outcome[];
    try {
      said = results(answerOf(answer, MAX_RESULTS_BYTES), records);
    } catch (cause) {
      throw misunderstood(answer, `threw ${(cause as Error)?.name}`, cause);
    }
    if (!Array.isArray(said) || said.length !== records.length) {
      throw misunderstood(
        answer,
        `gave ${Array.isArray(said) ? said.length : 'no'} outcomes for ${records.length} records`,
      );
    }
    // A hole in the list is no outcome, and `map` would leave it out.
    return records.map((record, index) => errorOf(said[index]!, answer, record));
  }

  function errorOf(outcome: Outcome, answer: HttpAnswer, record: R): TargetError | undefined {
    const { status } = answer;
    if (outcome === 'written') return undefined;
    if (outcome === 'retry')
      return new TargetError(`the target answered ${status}: the record is to be sent again`, { status });
    const { refused } = Object(outcome);
    if (typeof refused !== 'string') throw misunderstood(answer, 'gave an outcome that is none');
    // As a request of its own would be refused for what the record says.
    return new TargetError(`the target refused the record${shownOf(refused, secret(), record)}`, {
      ...{ status: 422, refused: true },
    });
  }

  function madeOf(records: R[]): Request {
    try {
      return withMethod('target.writeMany', many.request(records, context));
    } catch (cause) {
      throw unmade(cause);
    }
  }

  return {
    max,
    maxBytes: () => maxBytes / overhead,
    bytesOf: (record) => (maxBytes === Number.POSITIVE_INFINITY ? 0 : jsonBytesOf(record)),
    async write(batch, answered = 0) {
      const records = batch.map(({ record }) => record);
      const made = madeOf(records);
      // A batch of other versions has another key.
      const versions = batch.map(({ id, updatedAtMs, content }) => `${updatedAtMs}:${changesOf(id, content() ?? '')}`);
      const again = answered > 0 ? ` again ${answered}` : '';
      const { request } = requestFor(records, () => made, `${placeOf(made)}${versions}${again}\n`);
      if (maxBytes !== Number.POSITIVE_INFINITY) {
        const jsonBytes = batch.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
        checkSize(records, jsonBytes, request.body);
      }
      const outcomes = outcomesOf(await call(request), records);
      if (!results) return outcomes;
      // The job may have put its list into another order, and then means that one.
      const places = new Map(records.map((record, index) => [record, index]));
      return batch.map(({ record }, index) => outcomes[places.get(record) ?? index]);
    },
  };
}

/** Of a record that is no JSON the job may make a request all the same. */
function jsonBytesOf(record: unknown): number {
  try {
    return Buffer.byteLength(JSON.stringify(record) ?? '');
  } catch {
    return 0;
  }
}

const misunderstood = ({ status }: HttpAnswer, what: string, cause?: unknown) =>
  new TargetError(`target.writeMany.results of the job ${what}`, { cause, status, refused: true });
