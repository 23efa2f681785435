/** A number in JSON with all of its digits, as `JSON.rawJSON` makes it: `JSON.stringify` writes exactly these. */
export interface ExactNumber {
  readonly rawJSON: string;
}

/** TypeScript's own library does not declare it yet. */
export const rawJson = (JSON as unknown as { rawJSON(text: string): ExactNumber }).rawJSON;

const DIGITS = Symbol('digits');

/**
 * Stands in a source's JSON for a number that JavaScript's number would alter, so that the record does not match its schema.
 * Where a schema lets everything through, it is written with its own digits; to calculate with it throws. It is a function,
 * because a schema of an object without required fields accepts any object.
 */
export interface InexactNumber {
  (): never;
  readonly [DIGITS]: string;
}

export const isInexact = (value: unknown): value is InexactNumber => typeof value === 'function' && DIGITS in value;

export const digitsOf = (number: InexactNumber): string => number[DIGITS];

/** What a number of JSON text is here; NaN for text that is no number. */
export function numberOf(source: string): number | InexactNumber {
  const value = Number(source);
  const text = String(value);
  return text === source || Number.isNaN(value) || decimalOf(text) === decimalOf(source) ? value : inexact(source);
}

function inexact(source: string): InexactNumber {
  const refuse = (): never => {
    throw new TypeError('JavaScript would alter this number: use exactNumber of lib/job.ts');
  };
  return Object.assign(refuse, {
    [DIGITS]: source,
    toJSON: () => rawJson(source),
    [Symbol.toPrimitive]: (hint: string) => (hint === 'string' ? source : refuse()),
  });
}

/** The value of a number in one form: `1.50`, `15e-1` and `1.5` are all `15e-1`. */
function decimalOf(text: string): string {
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d*))?(?:e(.+))?$/i.exec(text) ?? [];
  if (whole === undefined) return text;
  const digits = whole + fraction;
  let start = 0;
  let end = digits.length;
  while (digits[start] === '0') start++;
  // Not by a regular expression, which would take the square of the zeros' number.
  while (end > start && digits[end - 1] === '0') end--;
  if (start === end) return '0';
  return `${sign}${digits.slice(start, end)}e${Number(exponent) - fraction.length + digits.length - end}`;
}
