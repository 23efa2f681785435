/** The bytes of a value as JSON. */
export const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

/** The first entries that as JSON have at most `maxBytes` together. */
export function firstWithin<T>(entries: readonly T[], maxBytes: number): T[] {
  const { add, list } = boundedList<T>(maxBytes);
  add(entries);
  return list;
}

/** A list that takes entries until one does not fit. */
export function boundedList<T>(maxBytes: number) {
  const list: T[] = [];
  let left = maxBytes;
  return {
    list,
    add(entries: readonly T[]) {
      for (const entry of entries) {
        if (left < 0) return;
        left -= bytesOf(entry) + 1;
        if (left >= 0) list.push(entry);
      }
    },
  };
}
