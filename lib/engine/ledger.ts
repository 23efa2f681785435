import type { Report, SettledPage } from '../report.ts';

/** A page with records that are not settled yet. It holds no record, so a straggler keeps only itself in memory. */
export interface OpenPage extends SettledPage {
  unsettled: number;
}

/** Counts what happens to the records of each page, and settles pages in the order in which they were opened. */
export interface Ledger {
  open(page: {
    records: number;
    unreadable?: number;
    missing: number;
    cursor?: string | undefined;
    last: boolean;
  }): OpenPage;
  /** Notes when a record of the page changed, in the order read. */
  note(page: OpenPage, updatedAtMs: number): void;
  /** One record is settled. */
  settle(page: OpenPage, as: 'written' | 'unchanged' | 'removed' | 'invalid' | 'failed'): void;
  /** One record does not belong to what was asked for, so it counts as not read. */
  leaveOut(page: OpenPage): void;
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
    open({ records, unreadable = 0, missing, cursor, last }) {
      const read = records + unreadable;
      const counts = { read, written: 0, unchanged: 0, removed: 0, invalid: 0, failed: unreadable, missing };
      const times = { newestMs: Number.NEGATIVE_INFINITY, oldestMs: Number.POSITIVE_INFINITY, ordered: true, rises: 0 };
      // The page itself counts as one, so that it cannot settle before the lanes have taken it whole.
      const page = { ...counts, ...times, cursor, last, unsettled: records + 1 };
      report.pages++;
      report.read += read;
      report.failed += unreadable;
      report.missing += missing;
      pages.push(page);
      return page;
    },
    note(page, updatedAtMs) {
      // NaN compares with nothing.
      if (!(updatedAtMs >= page.newestMs)) page.ordered = false;
      if (updatedAtMs > page.newestMs) {
        page.newestMs = updatedAtMs;
        page.rises++;
      }
      if (updatedAtMs < page.oldestMs) page.oldestMs = updatedAtMs;
    },
    settle(page, as) {
      report[as]++;
      page[as]++;
      settleOne(page);
    },
    leaveOut(page) {
      for (const counts of [report, page]) {
        counts.read--;
        counts.outside = (counts.outside ?? 0) + 1;
      }
      settleOne(page);
    },
    leave(records) {
      report.unsettled += records;
    },
    takenWhole: settleOne,
  };
}
