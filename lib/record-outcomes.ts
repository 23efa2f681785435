/** What happened to a record. The engine and the reader report it; the run keeps what it has to remember. */
export interface RecordOutcomes<R> {
  /** The target has the record as it should be: it was written or removed, or was so before. */
  done(id: string, as: 'written' | 'removed' | 'unchanged'): void;
  /** The record does not match its schema. Its page settles after the promise, which never rejects. */
  invalid(id: string, reason: string, raw: unknown): Promise<void> | undefined;
  /**
   * The write has failed for good.
   * @param refused that the target refused the record, which counts as an attempt whatever state the target is in
   */
  failed(id: string, reason: string, record: R, refused: boolean): void;
  /** A record that has vanished from the source could not be removed. */
  notRemoved(id: string, reason: string): void;
  /** The record was asked for by id and does not exist. */
  missing(id: string): void;
  /** The source refuses to show a record that was asked for by id. */
  unreadable(id: string, reason: string): void;
}
