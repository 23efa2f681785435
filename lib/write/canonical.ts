import { isUtf8 } from 'node:buffer';
import { types } from 'node:util';

/** TypeScript's own library does not declare it yet. */
const { isRawJSON } = JSON as unknown as { isRawJSON(value: unknown): boolean };

/**
 * What `JSON.stringify` gives, with the keys of each object in one order: bodies that are the same JSON give the same text.
 * Text, bytes and URLSearchParams, which go on the wire as they are, give their text; a body that is none gives ''.
 * @throws where `JSON.stringify` does
 */
export function canonicalJson(body: unknown): string {
  if (typeof body === 'string') return body;
  if (body instanceof URLSearchParams) return body.toString();
  // Other bytes have no text, and must not all be the same replacement characters.
  if (body instanceof Uint8Array) return Buffer.from(body).toString(isUtf8(body) ? 'utf8' : 'base64');
  return textOf(body, '') ?? '';
}

/** @returns undefined for what an object leaves out and an array has null for */
function textOf(given: unknown, key: string): string | undefined {
  switch (typeof given) {
    case 'string':
      return quoted(given);
    case 'number':
      return Number.isFinite(given) ? String(given) : 'null';
    case 'boolean':
      return given ? 'true' : 'false';
    case 'undefined':
      return undefined;
  }
  if (given === null) return 'null';
  // A function may have it too, such as an InexactNumber.
  const { toJSON } = given as { toJSON?: unknown };
  const value: unknown = typeof toJSON === 'function' ? toJSON.call(given, key) : given;
  if (typeof value !== 'object' || value === null || isPrimitiveInside(value)) return JSON.stringify(value);
  return Array.isArray(value) ? textOfArray(value) : textOfObject(value as Record<string, unknown>);
}

function textOfArray(values: unknown[]): string {
  let text = '[';
  for (let index = 0; index < values.length; index++) {
    if (index > 0) text += ',';
    text += textOf(values[index], String(index)) ?? 'null';
  }
  return `${text}]`;
}

function textOfObject(value: Record<string, unknown>): string {
  let text = '{';
  for (const key of sortedKeys(value)) {
    const part = textOf(value[key], key);
    if (part === undefined) continue;
    if (text.length > 1) text += ',';
    text += `${quoted(key)}:${part}`;
  }
  return `${text}}`;
}

/** A number of `JSON.rawJSON`, or a `new Number(1)` and its like. */
function isPrimitiveInside(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) return false;
  return prototype === null ? isRawJSON(value) : types.isBoxedPrimitive(value);
}

const PLAIN = /^[ !#-[\]-\ud7ff\ue000-\uffff]*$/;

/** This runs several times for each record: most texts have nothing to escape, and to look costs half of escaping. */
const quoted = (text: string) => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text));

const FEW = 32;

/** By insertion, which takes half the time of `sort` for as few keys as most records have. */
function sortedKeys(value: object): string[] {
  const keys = Object.keys(value);
  if (keys.length > FEW) return keys.sort();
  for (let end = 1; end < keys.length; end++) {
    const key = keys[end]!;
    let at = end;
    for (; at > 0 && keys[at - 1]! > key; at--) keys[at] = keys[at - 1]!;
    keys[at] = key;
  }
  return keys;
}
