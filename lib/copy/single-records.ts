import type { ReadPage } from '../engine/engine.ts';
import { HttpError, SourceError } from '../errors.ts';
import { isTransientStatus } from '../http-status.ts';
import type { Job, Page } from '../job-types.ts';
import type { Source } from '../read/source.ts';
import type { RecordOutcomes } from '../record-outcomes.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';

/** What reads single records. */
interface SingleRecords<R> {
  job: Pick<Job<R>, 'record' | 'id'>;
  source: Source;
  outcomes: Pick<RecordOutcomes<R>, 'missing' | 'unreadable'>;
}

/** Records that are read by id come in pages of this size, read side by side. */
const IDS_PER_PAGE = 20;

/** Records that failed before and could not be read, until it is known whether they or the source are to blame. */
interface Doubts {
  /** The source did not answer, or throttled. */
  sourceDown: boolean;
  count(): number;
  /** The source is up: reports each of them. @returns the number of records that do not exist */
  report(): number;
}

/**
 * Reads the records that failed before. One that the source refuses to show must not keep every later tick from its work, but a
 * gateway may answer 403 or 404 to everything for a while: such answers count once the source has answered its list.
 */
export async function* readAgain<R>(
  reading: SingleRecords<R> & { failedBefore: string[] },
): AsyncGenerator<Page, Doubts> {
  const { job, source, failedBefore, outcomes } = reading;
  let doubts: { id: string; error?: SourceError }[] = [];

  async function readOne(id: string): Promise<unknown[]> {
    const record = await readOrError(source, id);
    if (record instanceof SourceError) doubts.push({ id, error: record });
    else if (record === undefined) doubts.push({ id });
    // Written under its own id, it would come back here again and again.
    else if ((await idOf(job, record)) !== id) outcomes.unreadable(id, 'the source answers with another record');
    return record === undefined || record instanceof SourceError ? [] : [record];
  }

  const sourceDown = () => doubts.some(({ error }) => error && !isAboutRecord(error));
  for (const chunk of inChunks(failedBefore)) {
    yield outsideOfList((await Promise.all(chunk.map(readOne))).flat());
    // The list will show whether it is the source that is down.
    if (sourceDown()) break;
  }
  return {
    sourceDown: sourceDown(),
    count: () => doubts.length,
    report() {
      const reported = doubts;
      doubts = [];
      for (const { id, error } of reported) error ? outcomes.unreadable(id, error.message) : outcomes.missing(id);
      return reported.filter(({ error }) => !error).length;
    },
  };
}

/** This many refusals, and no answer about any other id, are the source's own doing and not the records'. */
const LEAST_REFUSALS = 20;
/** After this many, the rest of the ids is not asked for. */
const REFUSALS_BEFORE_STOP = 100;

/**
 * Reads single records, from the one after the pass's cursor on. A page's cursor is its last id. A record that the source
 * refuses to show has failed, and the others are read.
 * @throws SourceError where the source is down, or refuses every id
 */
export async function* readIds<R>(
  { source, pass, outcomes }: SingleRecords<R> & { pass: PassUnderWay },
  ids: string[],
): AsyncGenerator<ReadPage> {
  const all = [...new Set(ids)];
  const { cursor, counts } = pass.current();
  // An earlier run of the same backfill may have got the answers.
  let answered = counts.written + counts.unchanged + counts.invalid + counts.missing;
  let refused = 0;
  /** Pages of refusals only, until it is known whether the records or the source are to blame. */
  let doubted: { page: ReadPage; refusals: [string, SourceError][] }[] = [];
  for (const chunk of inChunks(cursor === null ? all : all.slice(all.indexOf(cursor) + 1))) {
    const answers = await Promise.all(chunk.map(readOne));
    const records = answers.filter((answer) => answer !== undefined && !(answer instanceof SourceError));
    const refusals = chunk.flatMap((id, index): [string, SourceError][] => {
      const answer = answers[index];
      return answer instanceof SourceError ? [[id, answer]] : [];
    });
    answered += chunk.length - refusals.length;
    refused += refusals.length;
    const missing = chunk.length - records.length - refusals.length;
    const last = chunk.at(-1)!;
    const isEnd = last === all.at(-1);
    doubted.push({ page: { records, missing, unreadable: refusals.length, cursor: isEnd ? null : last }, refusals });
    if (answered === 0 && refused >= (isEnd ? LEAST_REFUSALS : REFUSALS_BEFORE_STOP)) throw refusals[0]![1];
    if (answered === 0 && !isEnd) continue;
    for (const { page, refusals } of doubted) {
      for (const [id, { message }] of refusals) outcomes.unreadable(id, message);
      yield page;
    }
    doubted = [];
  }

  async function readOne(id: string): Promise<unknown> {
    const answer = await readOrError(source, id);
    if (answer === undefined) outcomes.missing(id);
    // What says nothing about this record ends the run.
    if (answer instanceof SourceError && !isAboutRecord(answer)) throw answer;
    return answer;
  }
}

/** The record, undefined where there is none, or the SourceError. @throws what is none */
async function readOrError(source: Source, id: string): Promise<unknown> {
  try {
    return await source.one(id);
  } catch (error) {
    if (error instanceof SourceError) return error;
    throw error;
  }
}

/** A page of records that are read outside of the list. */
export const outsideOfList = (records: unknown[], missing = 0): Page => ({ records, missing, cursor: undefined });

function* inChunks(ids: string[]): Generator<string[]> {
  for (let start = 0; start < ids.length; start += IDS_PER_PAGE) yield ids.slice(start, start + IDS_PER_PAGE);
}

/** The answer is about this record; a source that is down or throttles says nothing about it. */
const isAboutRecord = (error: SourceError) =>
  !(error.cause instanceof HttpError) && (error.status === undefined || !isTransientStatus(error.status));

/**
 * The id that the record is written with; where it does not match the schema, what the job makes of the raw record. Undefined
 * where that is no id.
 */
export async function idOf<R>(job: Pick<Job<R>, 'record' | 'id'>, raw: unknown): Promise<unknown> {
  try {
    const checked = await job.record['~standard'].validate(raw);
    return job.id(checked.issues ? (raw as R) : checked.value) || undefined;
  } catch {
    return;
  }
}
