/** How many vanished records a pass may remove. */
export interface RemovalGuard {
  /** Of what the target holds. */
  maxPercent: number;
  /** As many were approved by hand. */
  approvedUpTo?: number | undefined;
  /** How many shards remove records of their own. */
  shards: number;
  /**
   * The vanished records that the full pass before has left, by `idHash`: where the source cannot be asked for single records,
   * only these are removed, because a list may leave out a record by chance. A rehearsal waits for no second pass.
   */
  waiting?: ReadonlySet<string> | undefined;
  /** Receives how many were removed, however that ends. */
  removed?(records: number): void;
  /** Nothing is really removed, which the log says. */
  rehearses?: true;
}

/** So few may always be removed; of a job in shards, by all of them together. */
const ALWAYS_ALLOWED = 10;

/** Whether so many vanished records, of those that the target holds, are not removed without an approval. */
export function isTooMany(vanished: number, of: number, guard: RemovalGuard, sourceIsEmpty: boolean): boolean {
  const { maxPercent, approvedUpTo = 0, shards } = guard;
  // An empty list never empties a target, however small it is.
  const isLoss = sourceIsEmpty || vanished > ALWAYS_ALLOWED / shards;
  return isLoss && vanished > (of * maxPercent) / 100 && vanished > approvedUpTo;
}
