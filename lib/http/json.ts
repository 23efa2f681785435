/** How deep arrays and objects may nest: a level costs us a hundred times the memory that it costs the sender. */
export const MAX_DEPTH = 100;

/** @throws when the bytes are not JSON in UTF-8; do not pass this error on, because its message quotes the bytes */
export const parseJson = (bytes: Uint8Array): unknown =>
  JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));

/** Whether `json` nests deeper than `MAX_DEPTH`, without parsing it. */
export function nestsTooDeep(json: Uint8Array): boolean {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === 0x22) quoted = !quoted;
    else if (quoted) at += byte === 0x5c ? 1 : 0;
    else if (byte === 0x5b || byte === 0x7b) depth++;
    else if (byte === 0x5d || byte === 0x7d) depth--;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}
