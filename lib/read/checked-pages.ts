import { SourceError } from '../errors.ts';
import type { Page } from '../job-types.ts';

/** A cursor goes into a URL, into errors and into etcd, which would refuse an unlock with a huge one. */
const MAX_CURSOR_LENGTH = 64 * 1024;

/** The server has answered that there is nothing more; thrown through the listing, which need not know of it. */
export class EndOfList extends Error {
  override readonly name = 'EndOfList';
}

/**
 * Passes on the pages of a listing, each once it is checked. EndOfList becomes a last page of no records.
 * @param name the server in errors
 * @param from the cursor of the first page
 * @throws SourceError for a page of another shape, and when cursors run in a circle (Brent's algorithm, which keeps one
 * cursor; the last one is kept as well, so that the usual circle ends at once)
 */
export async function* checkedPages(
  pages: AsyncIterable<Page>,
  name: string,
  from: string | null = null,
): AsyncGenerator<Page> {
  let remembered: Page['cursor'] = null;
  let last: Page['cursor'] = from;
  let steps = 0;
  let power = 1;
  for await (const page of untilEnd(pages)) {
    checkPage(page, name);
    if (page.cursor != null && (page.cursor === remembered || page.cursor === last)) {
      throw new SourceError(`the ${name} gave a cursor that it had given before, so its list would never end`);
    }
    last = page.cursor;
    if (++steps === power) {
      remembered = page.cursor;
      steps = 0;
      power *= 2;
    }
    yield page;
  }
}

async function* untilEnd(pages: AsyncIterable<Page>): AsyncGenerator<Page> {
  try {
    yield* pages;
  } catch (error) {
    if (!(error instanceof EndOfList)) throw error;
    yield { records: [], cursor: null };
  }
}

/** A job's own listing passes on data from outside, whatever its type says. */
function checkPage({ records, cursor }: Page, name: string) {
  if (!Array.isArray(records)) throw new SourceError(`${name}.list of the job gave a page whose records are no array`);
  if (cursor == null) return;
  if (typeof cursor !== 'string') {
    throw new SourceError(
      `${name}.list of the job gave a cursor that is a ${typeof cursor}: it has to be a string or null`,
    );
  }
  if (cursor.length > MAX_CURSOR_LENGTH)
    throw new SourceError(`the ${name} gave a cursor of ${cursor.length} characters, more than ${MAX_CURSOR_LENGTH}`);
}
