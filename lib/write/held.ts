import { hash } from 'node:crypto';
import { canonicalJson } from './canonical.ts';

/** What the target holds, and which of it the source has brought in this pass. */
export interface Held {
  /**
   * The target holds this record; said of it before anything is asked. One that it lists again with another body is never the same.
   * @throws for a body that is no JSON
   */
  add(id: string, body: unknown): void;
  /**
   * The source has this record.
   * @returns whether the target holds it with the same body; once that was not so, or after `seen`, it never is again, so that
   * a record that goes A, B, A is written each time
   */
  isSame(id: string, body: unknown): boolean;
  /** The source has this record, whatever it says: an invalid one, a tombstone. */
  seen(id: string): void;
  /** Whether the target may hold the record now: it did, or `isSame` was asked, and said no, so that it was to be written. */
  holds(id: string): boolean;
  /** The number of records that the target held. */
  size(): number;
  /** How many of them the source has not brought. */
  vanished(): number;
  /** These, by the first 64 bits of their ids' SHA-256 in hex. */
  vanishedIds(): Iterable<string>;
  hasVanished(id: string): boolean;
}

/** Some of the records, in open addressing with linear probing. */
interface Table {
  /** Four words a slot: the first 64 bits of the id's SHA-256, and of the body's. */
  words: Uint32Array;
  /** What is known of a slot's record; 0 is a free slot. */
  marks: Uint8Array;
  records: number;
}

const HELD = 1;
const SEEN = 2;
const DIFFERS = 4;

/** Each table grows alone, so that the copy of what grows is a small part of the whole. */
const TABLES = 64;
const FEWEST_SLOTS = 16;
/** With these, a record takes 21 to 32 bytes, and most are found in one or two looks. */
const FULL = 0.8;
const GROWTH = 1.5;

/**
 * Remembers what the target holds by hashes. That a change is missed because two bodies have the same one has a chance of 2⁻⁶⁴,
 * about 1 in 18 million million million, for each changed record. A vanished record is taken for one that the source still has
 * with that chance for each record of the source, and then stays.
 */
export function openHeld(): Held {
  const tables = Array.from({ length: TABLES }, () => tableOf(FEWEST_SLOTS));
  let size = 0;
  let brought = 0;

  /** The record's slot, or the free one where it would be. */
  function find(id: string) {
    const digest = digestOf(id);
    const high = wordOf(digest, 0);
    const low = wordOf(digest, 4);
    // By its first bits: the last ones of this word are alike in all ids of a shard, see `shardOf`.
    const table = tables[high >>> 26]!;
    return { table, slot: slotOf(table, high, low), high, low };
  }

  /** Puts a record into its free slot. */
  function put({ table, slot, high, low }: ReturnType<typeof find>, body: [number, number], marks: number) {
    table.words.set([high, low, ...body], slot * 4);
    table.marks[slot] = marks;
    if (++table.records > table.marks.length * FULL) grow(table);
  }

  function note({ table, slot }: { table: Table; slot: number }, marks: number) {
    if ((table.marks[slot]! & SEEN) === 0) brought++;
    table.marks[slot]! |= SEEN | marks;
  }

  return {
    add(id, body) {
      const digest = digestOf(canonicalJson(body));
      const found = find(id);
      const { table, slot } = found;
      if (!table.marks[slot]) {
        size++;
        put(found, [wordOf(digest, 0), wordOf(digest, 4)], HELD);
      } else if (!isAt(table, slot, digest)) table.marks[slot]! |= DIFFERS;
    },
    isSame(id, body) {
      const found = find(id);
      const { table, slot } = found;
      const marks = table.marks[slot]!;
      if (marks === 0) {
        put(found, [0, 0], SEEN | DIFFERS);
        return false;
      }
      const digest = marks & DIFFERS ? undefined : digestOfBody(body);
      const same = digest !== undefined && isAt(table, slot, digest);
      note(found, same ? 0 : DIFFERS);
      return same;
    },
    seen(id) {
      const found = find(id);
      if (found.table.marks[found.slot]) note(found, DIFFERS);
    },
    holds(id) {
      const { table, slot } = find(id);
      return table.marks[slot] !== 0;
    },
    size: () => size,
    vanished: () => size - brought,
    *vanishedIds() {
      for (const { words, marks } of tables) {
        for (let slot = 0; slot < marks.length; slot++) {
          if (marks[slot] && (marks[slot]! & SEEN) === 0) yield hexOf(words[slot * 4]!) + hexOf(words[slot * 4 + 1]!);
        }
      }
    },
    hasVanished(id) {
      const { table, slot } = find(id);
      return table.marks[slot] !== 0 && (table.marks[slot]! & SEEN) === 0;
    },
  };
}

const tableOf = (slots: number): Table => ({
  words: new Uint32Array(slots * 4),
  marks: new Uint8Array(slots),
  records: 0,
});

function slotOf({ words, marks }: Pick<Table, 'words' | 'marks'>, high: number, low: number): number {
  let slot = Math.floor((low / 2 ** 32) * marks.length);
  while (marks[slot] && (words[slot * 4] !== high || words[slot * 4 + 1] !== low)) {
    slot = slot + 1 === marks.length ? 0 : slot + 1;
  }
  return slot;
}

function grow(table: Table) {
  const { words, marks } = table;
  const larger = tableOf(Math.ceil(marks.length * GROWTH));
  for (let slot = 0; slot < marks.length; slot++) {
    if (!marks[slot]) continue;
    const at = slot * 4;
    const to = slotOf(larger, words[at]!, words[at + 1]!);
    larger.words.set(words.subarray(at, at + 4), to * 4);
    larger.marks[to] = marks[slot]!;
  }
  Object.assign(table, { words: larger.words, marks: larger.marks });
}

const isAt = ({ words }: Table, slot: number, digest: string) =>
  words[slot * 4 + 2] === wordOf(digest, 0) && words[slot * 4 + 3] === wordOf(digest, 4);

/** A character a byte: a Buffer would be 32 bytes outside of the heap, for each record. */
const digestOf = (text: string) => hash('sha256', text, 'binary');

const wordOf = (digest: string, at: number) =>
  ((digest.charCodeAt(at) << 24) |
    (digest.charCodeAt(at + 1) << 16) |
    (digest.charCodeAt(at + 2) << 8) |
    digest.charCodeAt(at + 3)) >>>
  0;

const hexOf = (word: number) => word.toString(16).padStart(8, '0');

/** @returns undefined for what is no JSON, which the target cannot hold */
function digestOfBody(body: unknown): string | undefined {
  try {
    return digestOf(canonicalJson(body));
  } catch {
    return undefined;
  }
}
