import { JobError, SourceError } from '../errors.ts';
import type { List, Listing, Page, Query, Window } from '../job-types.ts';
import type { StreamFormat } from './json-records.ts';
import { checkOptions } from './paged.ts';

/** A page ends at PAGE_RECORDS records, or earlier once about PAGE_BYTES bytes have arrived for it. */
const PAGE_RECORDS = 500;
const PAGE_BYTES = 4 * 1024 * 1024;

/** NDJSON has no registered media type. */
const ACCEPT: Record<StreamFormat, string> = {
  'json-array': 'application/json',
  ndjson: 'application/x-ndjson, application/jsonl, */*;q=0.5',
};

/**
 * Lists a source that answers once with all records, parsed as they arrive: memory does not grow with the list, and the
 * connection is read no faster than the records are written. Nothing is retried in the middle: a stream that breaks off ends
 * the run.
 *
 * A stream has no cursor, so ours is `<ETag>#<records>`: while the ETag is the same, a resumed run reads the stream again and
 * skips that number of records. With another ETag, or none (`#<records>`), it starts over, so a list without an ETag has to
 * be copied within one run.
 *
 * NDJSON does not mark its end: without Content-Length or chunked encoding, a stream cut between two lines looks complete.
 * @throws JobError for options that cannot be
 */
export function streamPages(options: {
  path: string;
  query?: (window: Window) => Query;
  headers?: Record<string, string>;
  format: StreamFormat;
}): List {
  checkOptions('streamPages', options, { required: { format: ['string'] } });
  const { path, query, headers, format } = options;
  if (!(format in ACCEPT)) throw new JobError(`streamPages: "format" must be ${Object.keys(ACCEPT).join(' or ')}`);
  async function* list({ since, until, shard, cursor, getStream }: Listing): AsyncGenerator<Page> {
    const from = cursor === null ? undefined : placeOf(cursor, path);
    using answer = await getStream(
      { path, ...(query && { query: query({ since, until, shard }) }), ...(headers && { headers }) },
      undefined,
      ACCEPT[format],
    );
    const etag = answer.headers.etag ?? '';
    if (from && from.etag !== etag) throw refusal(`the stream at ${path} is another one by now: its ETag has changed`);

    const { jsonRecords } = await import('./json-records.ts');
    const parser = jsonRecords(format, `the stream at ${path}`);
    let toSkip = from?.count ?? 0;
    let given = toSkip;
    let waiting: unknown[] = [];
    let bytesWaiting = 0;
    const take = (found: unknown[]) => {
      waiting = waiting.concat(found.slice(toSkip));
      toSkip -= Math.min(toSkip, found.length);
    };
    const page = () => {
      const records = waiting.splice(0, PAGE_RECORDS);
      given += records.length;
      bytesWaiting = 0;
      return { records, cursor: `${etag}#${given}` };
    };

    for await (const bytes of answer.body) {
      take(parser.write(bytes));
      bytesWaiting += bytes.length;
      while (waiting.length >= PAGE_RECORDS || (waiting.length > 0 && bytesWaiting >= PAGE_BYTES)) yield page();
    }
    take(parser.end());
    if (toSkip > 0) throw refusal(`the stream at ${path} has fewer records than were read of it before`);
    // The last page ends the list, even if it is empty.
    yield { ...page(), cursor: null };
  }
  return Object.assign(list, { style: 'stream' });
}

function placeOf(cursor: string, path: string) {
  const [, etag, count] = /^(.+)#(\d+)$/s.exec(cursor) ?? [];
  if (!etag) throw refusal(`the stream at ${path} had no ETag, so it may be another one by now`);
  return { etag, count: Number(count) };
}

const refusal = (message: string) => new SourceError(message, { cursorRefused: true });
