import type { SettledPage } from '../engine/engine.ts';
import type { Budget } from '../lock/etcd.ts';
import type { Lock, Put } from '../lock/mutex.ts';
import type { Pass } from '../state/state.ts';

/** A checkpoint is saved after this many pages, or sooner when this much time has passed since the last one. */
const PAGES_PER_CHECKPOINT = 4;
const CHECKPOINT_MS = 5000;

/**
 * Keeps `pass` up to date as pages settle, and saves it under the lock: one save at a time, as often as the constants above
 * say.
 * @param operations what a save writes
 * @param budget of a save that begins now
 */
export function keepCheckpoints(pass: Pass, operations: () => Put[], lock: Lock, budget: () => Budget) {
  const failed = new AbortController();
  let settledPages = 0;
  let pages = 0;
  let savedAtMs = performance.now();
  let saving: Promise<void> | undefined;

  async function save() {
    pages = 0;
    savedAtMs = performance.now();
    try {
      await lock.save(operations(), budget());
    } catch (error) {
      failed.abort(error);
    }
    saving = undefined;
  }

  return {
    /** Aborts when a checkpoint could not be saved: the lock is lost then, or etcd is. */
    saveFailed: failed.signal,
    pageSettled(page: SettledPage) {
      if (page.cursor !== undefined) pass.cursor = page.cursor;
      for (const name of ['read', 'written', 'invalid', 'failed', 'missing'] as const) pass.counts[name] += page[name];
      pass.counts.pages++;
      settledPages++;
      const newestMs = pass.newest === undefined ? Number.NEGATIVE_INFINITY : Date.parse(pass.newest);
      if (page.newestMs > newestMs) pass.newest = new Date(page.newestMs).toISOString();
      const due = ++pages >= PAGES_PER_CHECKPOINT || performance.now() - savedAtMs >= CHECKPOINT_MS;
      // After the last page comes the final state, and a cursor of null would mean the beginning.
      if (due && !saving && page.cursor !== null) saving = save();
    },
    /** How many pages were settled, those of records that were read again by id included. */
    settledPages: () => settledPages,
    /** Resolves when no save is under way. */
    saved: async () => saving,
  };
}
