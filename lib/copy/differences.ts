import { canonicalJson } from '../write/canonical.ts';
import type { Comparison } from './comparison.ts';

/** How a record at the target differs from the source. */
export interface Difference {
  id: string;
  kind: 'new' | 'changed' | 'vanished';
  /** Of a changed one, the fields that differ. */
  fields?: Field[];
}

/** A field, by its path, and what it holds. */
interface Field {
  name: string;
  source?: unknown;
  target?: unknown;
}

/** The most records that are told of those that would be written, and of those that would be removed. */
const MAX_DIFFERENCES = 20;

/** Notes how the source differs from the target while a pass is rehearsed. */
export function noteDifferences() {
  const bodies = new Map<string, unknown>();
  const removed: string[] = [];
  return {
    /** This would be written. */
    differs(id: string, body: unknown): void {
      if (bodies.size < MAX_DIFFERENCES) bodies.set(id, body);
    },
    /** This would be removed. */
    vanished(id: string): void {
      if (removed.length < MAX_DIFFERENCES) removed.push(id);
    },
    /** Lists the target once more, because only hashes of its bodies were kept. @throws what listing throws */
    async told(comparison: Comparison): Promise<Difference[]> {
      const held = new Map<string, unknown>();
      if (bodies.size > 0) {
        for await (const records of comparison.existing()) {
          for (const { id, body } of records) if (bodies.has(id)) held.set(id, body);
        }
      }
      const written = [...bodies].map(([id, body]): Difference => {
        if (!held.has(id)) return { id, kind: 'new' };
        return { id, kind: 'changed', fields: [...fieldsOf(body, held.get(id), '')] };
      });
      const vanished = removed.map((id): Difference => ({ id, kind: 'vanished' }));
      return [...written, ...vanished];
    },
  };
}

function* fieldsOf(source: unknown, target: unknown, name: string): Generator<Field> {
  if (canonicalJson(source) === canonicalJson(target)) return;
  if (!isObject(source) || !isObject(target)) {
    yield { name: name || 'the body', source, target };
    return;
  }
  for (const key of new Set([...Object.keys(source), ...Object.keys(target)])) {
    yield* fieldsOf(source[key], target[key], name ? `${name}.${key}` : key);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
