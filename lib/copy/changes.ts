import type { PassUnderWay } from '../state/pass-under-way.ts';
import { idHash } from '../state/recent.ts';
import type { Changes } from '../write/prepare.ts';

/** The last contents of at least this many ids are remembered. */
const IDS_REMEMBERED = 30_000;

interface Version {
  /** 52 bits of its hash, which a number holds. */
  content: number;
  count: number;
}

/**
 * Counts how often a record has changed within a pass, over all its runs, by the contents that are written one after the
 * other. What is not known: a content that was written longer ago than `IDS_REMEMBERED` other ids, or by an earlier run, of a
 * record that had not changed by then; and a change since the last checkpoint of a run that was killed.
 */
export function countingChanges(pass: Pick<PassUnderWay, 'current' | 'changed'>): Changes {
  /** Only the content of those that have not changed: it takes less memory. */
  let young = new Map<string, Version | number>();
  let old = new Map<string, Version | number>();

  function lastOf(id: string): Version | undefined {
    const known = young.get(id) ?? old.get(id);
    if (known !== undefined) return typeof known === 'number' ? { content: known, count: 0 } : known;
    const { changes } = pass.current();
    const saved = changes?.[idHash(id)];
    return saved && { count: saved[0], content: saved[1] };
  }

  return {
    countOf(id, hashed) {
      const content = Number.parseInt(hashed.slice(0, 13), 16);
      const last = lastOf(id);
      const count = !last || last.content === content ? (last?.count ?? 0) : last.count + 1;
      if (last && count > last.count) pass.changed(idHash(id), { count, content });
      young.set(id, count === 0 ? content : { content, count });
      if (young.size >= IDS_REMEMBERED) [young, old] = [new Map(), young];
      return count;
    },
  };
}
