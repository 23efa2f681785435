import type { Report, SettledPage } from '../report.ts';

/** A page with records that are not settled yet. It holds no record, so a straggler keeps only itself in memory. */
export interface OpenPage extends SettledPage {
  unsettled: number;
}

/** Counts what happens to the records of each page, and settles pages in the order in which they were opened. */
export interface Ledger {
  open(page: { records: number; missing: number; cursor?: string | undefined; last: boolean }): OpenPage;
  /** One record is settled. */
  settle(page: OpenPage, as: 'written' | 'invalid' | 'failed'): void;
  /** These records stay unsettled: a resumed run reads them again. */
  leave(records: number): void;
  /** The lanes have taken all records of the page. */
  takenWhole(page: OpenPage): void;
}

/**
 * Opens a ledger.
 * @param report receives the counts of all pages
 * @param pageSettled is called for each settled page, in order
 */
export function openLedger(report: Report, pageSettled: (page: SettledPage) => void): Ledger {
  const pages: OpenPage[] = [];

  function settleOne(page: OpenPage) {
    page.unsettled--;
    for (let first = pages[0]; first?.unsettled === 0; first = pages[0]) {
      pages.shift();
      pageSettled(first);
    }
  }

  return {
    open({ records, missing, cursor, last }) {
      const counts = { read: records, written: 0, invalid: 0, failed: 0, missing };
      // The page itself counts as one, so that it cannot settle before the lanes have taken it whole.
      const page = { ...counts, cursor, last, newestMs: Number.NEGATIVE_INFINITY, unsettled: records + 1 };
      report.pages++;
      report.read += records;
      report.missing += missing;
      pages.push(page);
      return page;
    },
    settle(page, as) {
      report[as]++;
      page[as]++;
      settleOne(page);
    },
    leave(records) {
      report.unsettled += records;
    },
    takenWhole: settleOne,
  };
}
