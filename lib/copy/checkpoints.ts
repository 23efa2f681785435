import type { SettledPage } from '../report.ts';

/** A checkpoint is saved after this many pages, or sooner when this much time has passed since the last one. */
const PAGES_PER_CHECKPOINT = 4;
const CHECKPOINT_MS = 5000;

/**
 * Saves checkpoints while pages settle, one at a time, as often as the constants above say.
 * @param save saves what is reached by then
 */
export function keepCheckpoints(save: () => Promise<void>) {
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
    /** Aborts when a checkpoint could not be saved: the lock is lost then, or etcd is. */
    saveFailed: failed.signal,
    pageSettled({ last }: SettledPage) {
      const due = ++pages >= PAGES_PER_CHECKPOINT || performance.now() - savedAtMs >= CHECKPOINT_MS;
      // The last page is followed by the final state.
      if (due && !saving && !last) saving = saveNow();
    },
    /** Resolves when no save is under way. */
    saved: async () => saving,
  };
}
