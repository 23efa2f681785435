import type { PassUnderWay } from '../state/pass-under-way.ts';
import { idHash } from '../state/recent.ts';
import type { Changes } from '../write/prepare.ts';

/** The last contents of at least this many ids are remembered. */
const IDS_REMEMBERED = 30_000;

interface Version {
  content: string;
  count: number;
}

/**
 * Counts how often a record has changed within a pass, over all its runs, by the contents that are written one after the
 * other. What is not known: a content that was written longer ago than `IDS_REMEMBERED` other ids, or by an earlier run, of a
 * record that had not changed by then; and a change since the last checkpoint of a run that was killed.
 */
export function countingChanges(pass: Pick<PassUnderWay, 'current' | 'changed'>): Changes {
  let young = new Map<string, Version>();
  let old = new Map<string, Version>();

  function lastOf(id: string) {
    const known = young.get(id) ?? old.get(id);
    const { changes } = pass.current();
    if (known || !changes) return known;
    const saved = changes[idHash(id)];
    return saved && { count: saved[0], content: saved[1] };
  }

  return {
    countOf(id, content) {
      const last = lastOf(id) ?? { content, count: 0 };
      const now = last.content === content ? last : { content, count: last.count + 1 };
      if (now !== last) pass.changed(idHash(id), now);
      young.set(id, now);
      if (young.size >= IDS_REMEMBERED) [young, old] = [new Map(), young];
      return now.count;
    },
  };
}
