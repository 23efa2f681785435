import { isUtf8 } from 'node:buffer';
import { isInexact, numberOf } from '../inexact-number.ts';

/** How deep arrays and objects may nest: a level costs us a hundred times the memory that it costs the sender. */
export const MAX_DEPTH = 100;

/**
 * Parses JSON; a number that JavaScript would alter becomes an `InexactNumber`.
 * @throws when the bytes are not JSON in UTF-8; do not pass this error on, because its message quotes the bytes
 */
export function parseJson(bytes: Uint8Array): unknown {
  // A TextDecoder that refuses what is no UTF-8 takes nearly as long as the parsing.
  if (!isUtf8(bytes)) throw new TypeError('the bytes are not UTF-8');
  const text = textOf(bytes);
  // A reviver makes parsing six times as slow, so only a text that needs it gets it.
  return hasInexactNumber(text) ? JSON.parse(text, withInexactNumbers) : JSON.parse(text);
}

/** Without a byte order mark. */
function textOf({ buffer, byteOffset, length }: Uint8Array): string {
  const text = Buffer.from(buffer, byteOffset, length).toString();
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

/** A number may be inexact from 16 digits on, or with an exponent. What looks like one in a string costs time only. */
const SUSPECT = /[[:,]\s*(-?\d(?:[\d.]{15}|[\d.]*[eE])[-+\w.]*)/g;

function hasInexactNumber(text: string): boolean {
  for (const [, number] of text.matchAll(SUSPECT)) if (isInexact(numberOf(number!))) return true;
  return /^\s*-?\d/.test(text);
}

const withInexactNumbers = (_key: string, value: unknown, context?: { source: string }) =>
  typeof value === 'number' ? numberOf(context!.source) : value;

/** Whether `json` nests deeper than `MAX_DEPTH`, without parsing it. */
export function nestsTooDeep(json: Uint8Array): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === 0x22) at = endOfText(json, at + 1);
    else if (byte === 0x5d || byte === 0x7d) depth--;
    else if ((byte === 0x5b || byte === 0x7b) && ++depth > MAX_DEPTH) return true;
  }
  return false;
}

/** Where the quote is that ends a text, or the end of all. */
function endOfText(json: Uint8Array, from: number): number {
  let at = from;
  while (at < json.length && json[at] !== 0x22) at += json[at] === 0x5c ? 2 : 1;
  return at;
}
