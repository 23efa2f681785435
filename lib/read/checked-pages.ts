import { SourceError } from '../errors.ts';
import type { Page } from '../job.ts';

/** The characters that a cursor may have: it goes into a URL, into errors and into etcd, which takes no unlock with a huge one. */
const MAX_CURSOR_LENGTH = 64 * 1024;

/**
 * Passes on what a listing gives, page by page, once it is checked.
 * @throws SourceError for what is no page, and when cursors run in a circle: Brent's algorithm, so that it costs one cursor of
 * memory
 */
export async function* checkedPages(pages: AsyncIterable<Page>): AsyncGenerator<Page> {
  let remembered: Page['cursor'] = null;
  let steps = 0;
  let power = 1;
  for await (const page of pages) {
    checkPage(page);
    if (page.cursor != null && page.cursor === remembered) {
      throw new SourceError('the source gave a cursor that it had given before, so its list would never end');
    }
    if (++steps === power) {
      remembered = page.cursor;
      steps = 0;
      power *= 2;
    }
    yield page;
  }
}

/** What a job's own listing passes on comes from outside, whatever its type says, and a cursor is kept in etcd. */
function checkPage({ records, cursor }: Page) {
  if (!Array.isArray(records)) throw new SourceError('source.list of the job gave a page whose records are no array');
  if (cursor != null && typeof cursor !== 'string') {
    throw new SourceError(
      `source.list of the job gave a cursor that is a ${typeof cursor}: it has to be a string or null`,
    );
  }
  if (cursor != null && cursor.length > MAX_CURSOR_LENGTH)
    throw new SourceError(`the source gave a cursor of ${cursor.length} characters, more than ${MAX_CURSOR_LENGTH}`);
}
