import type { IncomingHttpHeaders } from 'node:http';
import { HttpError } from '../errors.ts';
import type { HttpAnswer, HttpStream } from '../http/client.ts';
import { decoded, decodedStream } from '../http/decoding.ts';
import { MAX_DEPTH, nestsTooDeep, parseJson } from '../http/json.ts';
import { answerOf, verdictOf } from '../http/verdict.ts';
import type { SourceJob } from '../job-types.ts';

/** The most bytes of one answer, so that a runaway page ends in an error and not in exhausted memory. */
export const MAX_PAGE_BYTES = 32 * 1024 * 1024;

/** A whole answer arrived, but not what was asked for. The message quotes nothing of it. */
export class GarbledAnswer extends HttpError {}

/** An answer whose body is parsed, if its status is 2xx; a 204 has none. */
export interface JsonAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  json: unknown;
  /** What the job's check says about it. */
  verdict?: SourceVerdict | undefined;
  /** The body as it came. */
  raw: HttpAnswer;
}

const VERDICTS = ['retry', 'refused', 'empty'] as const;
export type SourceVerdict = (typeof VERDICTS)[number];
type Check = SourceJob['check'];

/**
 * Unpacks and parses an answer. What is empty, cut or no JSON is transient: a gateway may send its own page for a moment.
 * @throws HttpError
 */
export async function readJson(raw: HttpAnswer, check?: Check): Promise<JsonAnswer> {
  const { status, headers } = raw;
  const json = isSuccess(status) && status !== 204 ? await parsed(raw) : undefined;
  return { status, headers, json, raw, verdict: checked(raw, check, json) };
}

function checked(raw: HttpAnswer, check: Check, json?: unknown): SourceVerdict | undefined {
  if (!check) return undefined;
  const answer = answerOf(raw, MAX_PAGE_BYTES);
  return verdictOf(check, json === undefined ? answer : { ...answer, json: () => json }, VERDICTS);
}

async function parsed(answer: HttpAnswer): Promise<unknown> {
  const body = decoded(answer, MAX_PAGE_BYTES);
  if (nestsTooDeep(body)) throw new GarbledAnswer(`the JSON nests deeper than ${MAX_DEPTH} levels`, false);
  try {
    return parseJson(body);
  } catch {
    // The parser comes only when it is needed.
    const { lastTokenOf } = await import('./json-records.ts');
    const { headers } = answer;
    const where = body.length > 0 ? `, after byte ${lastTokenOf(body)}` : '';
    throw new GarbledAnswer(
      `it answered with ${body.length} bytes that are not JSON in UTF-8${where} (${kindOf(headers)})`,
      true,
    );
  }
}

/** A stream that has begun: its first piece has arrived, or its end. */
export interface BegunStream extends HttpStream {
  empty: boolean;
  verdict?: SourceVerdict | undefined;
}

/** No JSON begins so, and each page of a gateway does; a byte order mark may come first. */
const MARKUP = /^(\xef\xbb\xbf)?\s*</;

/**
 * Unpacks an answer and waits until its body begins. A body that begins like HTML is transient, as in `readJson`. Of an answer
 * other than 2xx there is none, for `check` too.
 * @throws HttpError, from the body as well
 */
export async function beginStream(answer: HttpStream, check?: Check): Promise<BegunStream> {
  if (!isSuccess(answer.status)) {
    return { ...answer, empty: false, verdict: checked({ ...answer, body: Buffer.alloc(0) }, check) };
  }
  const pieces = decodedStream(answer);
  const first = await pieces.next().catch((error) => {
    answer[Symbol.dispose]();
    throw error;
  });
  if (!first.done && MARKUP.test(Buffer.from(first.value).toString('latin1', 0, 1000))) {
    answer[Symbol.dispose]();
    throw new GarbledAnswer(
      `it answered with what is no JSON, from its first byte on (${kindOf(answer.headers)})`,
      true,
    );
  }
  async function* body() {
    if (first.done) return;
    yield first.value;
    yield* pieces;
  }
  return { ...answer, body: body(), empty: first.done ?? false };
}

export const isSuccess = (status: number): boolean => status >= 200 && status <= 299;

/** The content type as the source gives it, at most 100 characters of it. */
const kindOf = (headers: IncomingHttpHeaders) =>
  `content type ${JSON.stringify(`${headers['content-type'] ?? 'none'}`.slice(0, 100))}`;
