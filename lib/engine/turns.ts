/** Runs one piece of work for an id after the other, in the order of the calls. */
export type InTurn = (ids: readonly string[], work: () => Promise<void>) => Promise<void>;

/** Work under way, and who waits for its end. */
interface Turn {
  waiting?: (() => void)[];
}

/** Keeps the order of work on the same id; ids that are not under way cost one map entry while they are. */
export function openTurns(): InTurn {
  /** The last work of each id under way. */
  const underWay = new Map<string, Turn>();
  return async (ids, work) => {
    const own: Turn = {};
    const before: Turn[] = [];
    for (const id of ids) {
      const last = underWay.get(id);
      if (last) before.push(last);
      underWay.set(id, own);
    }
    // Waited for from now on, because any of them may end first.
    for (const end of before.map(endOf)) await end;
    try {
      await work();
    } finally {
      for (const id of ids) if (underWay.get(id) === own) underWay.delete(id);
      for (const goOn of own.waiting ?? []) goOn();
    }
  };
}

const endOf = (turn: Turn) =>
  new Promise<void>((resolve) => {
    turn.waiting ??= [];
    turn.waiting.push(resolve);
  });
