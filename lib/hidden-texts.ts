/** The texts in a value, however deep they lie; numbers as they are written. */
export function* textsIn(value: unknown): Generator<string> {
  if (typeof value === 'string' && value !== '') yield value;
  else if (typeof value === 'number' || typeof value === 'bigint') yield String(value);
  else if (typeof value === 'object' && value !== null) for (const part of Object.values(value)) yield* textsIn(part);
}

/** Shorter texts are hidden where they are whole words only, because they stand in any text. */
const LEAST_LENGTH = 4;

/** `text` without any of the given texts, as they are or encoded. */
export function withoutTexts(text: string, hidden: Iterable<string>): string {
  const forms = new Set([...hidden].filter((one) => one !== '').flatMap(formsOf));
  let left = text;
  // A part of a longer one must not break that up.
  for (const form of [...forms].sort((a, b) => b.length - a.length)) {
    left = form.length >= LEAST_LENGTH ? left.replaceAll(form, '…') : withoutWord(left, form);
  }
  return left;
}

function formsOf(text: string): string[] {
  const wellFormed = text.toWellFormed();
  return [
    text,
    JSON.stringify(text).slice(1, -1),
    encodeURIComponent(wellFormed),
    new URLSearchParams([['', wellFormed]]).toString().slice(1),
    Buffer.from(text).toString('base64'),
  ];
}

function withoutWord(text: string, word: string): string {
  const escaped = word.replace(/[^\p{L}\p{N}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return text.replace(new RegExp(`(?<![\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])`, 'gu'), '…');
}
