import { pipeline } from 'node:stream';
import {
  brotliDecompressSync,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  type ZlibOptions,
} from 'node:zlib';
import { HttpError } from '../errors.ts';
import type { HttpAnswer, HttpStream } from './client.ts';

/** The content codings of RFC 9110, 8.4.1, that we ask for and undo. undici's own decoder is experimental. */
export const ACCEPT_ENCODING = 'gzip, br, deflate';

interface Coding {
  whole(body: Uint8Array, options: ZlibOptions): Uint8Array;
  /** @param first the first bytes of the body */
  stream(first: Uint8Array): NodeJS.ReadWriteStream;
}

const PIECE = { chunkSize: 64 * 1024 };

/** Some servers leave out the frame of zlib that `deflate` should have. */
const hasFrame = (first: Uint8Array) => (first[0]! & 0x0f) === 8 && (first[0]! * 256 + (first[1] ?? 0)) % 31 === 0;

const gzip: Coding = { whole: gunzipSync, stream: () => createGunzip(PIECE) };
const br: Coding = { whole: brotliDecompressSync, stream: () => createBrotliDecompress(PIECE) };
const deflate: Coding = {
  whole: (body, options) => (hasFrame(body) ? inflateSync : inflateRawSync)(body, options),
  stream: (first) => (hasFrame(first) ? createInflate(PIECE) : createInflateRaw(PIECE)),
};
const CODINGS = new Map(Object.entries({ gzip, 'x-gzip': gzip, br, deflate }));

const codingOf = ({ headers }: Pick<HttpAnswer, 'headers'>) =>
  CODINGS.get(`${headers['content-encoding'] ?? ''}`.trim().toLowerCase());

/**
 * The body of an answer as it was before it was packed. An unknown coding is left as it is.
 * @throws HttpError for a body that is not of its coding or is cut (transient), or is larger than `maxBytes`
 */
export function decoded(answer: HttpAnswer, maxBytes: number): Uint8Array {
  const coding = codingOf(answer);
  if (!coding || answer.body.length === 0) return answer.body;
  try {
    return coding.whole(answer.body, { ...PIECE, maxOutputLength: maxBytes });
  } catch (cause) {
    const { code } = cause as { code?: string };
    if (code !== 'ERR_BUFFER_TOO_LARGE') throw undecodable(cause as Error);
    throw new HttpError(`the answer is larger than ${maxBytes} bytes`, false, { cause });
  }
}

/** The same for a body that is still arriving. It is unpacked no faster than it is consumed. */
export async function* decodedStream(answer: HttpStream): AsyncGenerator<Uint8Array> {
  const coding = codingOf(answer);
  if (!coding) return yield* answer.body;
  const pieces = answer.body[Symbol.asyncIterator]();
  const first = await pieces.next();
  if (first.done) return;
  async function* packed() {
    yield first.value;
    yield* { [Symbol.asyncIterator]: () => pieces };
  }
  const decoder = coding.stream(first.value);
  // An error of either side ends the other one, and arrives below.
  const unpacked = pipeline(packed, decoder, () => undefined);
  try {
    for await (const piece of unpacked) yield piece as Buffer;
  } catch (error) {
    throw (error as { errno?: number }).errno === undefined ? error : undecodable(error as Error);
  }
}

const undecodable = (cause: Error) => new HttpError(`the answer cannot be unpacked: ${cause.message}`, true, { cause });
