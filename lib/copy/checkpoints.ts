import type { SettledPage } from '../report.ts';

/** A checkpoint is saved after this many pages, or sooner when this much time has passed since the last one. */
const PAGES_PER_CHECKPOINT = 4;
const CHECKPOINT_MS = 5000;

/**
 * Saves checkpoints while pages settle, one at a time, as often as the constants above say.
 * @param options.save saves what is reached by then; what it throws ends the pass
 * @param options.eachPage saves after every page
 */
export function keepCheckpoints({ save, eachPage }: { save: () => Promise<void>; eachPage: boolean }) {
  const pagesPerCheckpoint = eachPage ? 1 : PAGES_PER_CHECKPOINT;
  const failed = new AbortController();
  let pages = 0;
  let savedAtMs = performance.now();
  let saving: Promise<void> | undefined;

  async function saveNow() {
    pages = 0;
    savedAtMs = performance.now();
    try {
      await save();
    } catch (error) {
      failed.abort(error);
    }
    saving = undefined;
  }

  return {
    /** Aborts when a checkpoint could not be saved, because the lock is lost then, or etcd is; or when the run is to make way. */
    saveFailed: failed.signal,
    pageSettled({ last }: SettledPage) {
      const due = ++pages >= pagesPerCheckpoint || performance.now() - savedAtMs >= CHECKPOINT_MS;
      // The last page is followed by the final state.
      if (due && !saving && !last) saving = saveNow();
    },
    /** Resolves when no save is under way. */
    saved: async () => saving,
  };
}
