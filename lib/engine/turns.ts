/** Runs one piece of work for an id after the other, in the order of the calls. */
export type InTurn = (id: string, work: () => Promise<void>) => Promise<void>;

/** Keeps the order of writes of the same id; ids that are not under way cost one map entry while they are. */
export function openTurns(): InTurn {
  /** The last work of each id under way; the work that waits for it sets `over`. */
  const underWay = new Map<string, { over?: () => void }>();
  return async (id, work) => {
    const before = underWay.get(id);
    const own: { over?: () => void } = {};
    underWay.set(id, own);
    if (before) {
      await new Promise<void>((resolve) => {
        before.over = resolve;
      });
    }
    try {
      await work();
    } finally {
      if (underWay.get(id) === own) underWay.delete(id);
      own.over?.();
    }
  };
}
