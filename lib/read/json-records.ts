import { JSONParser, TokenType } from '@streamparser/json';
import { SourceError } from '../errors.ts';
import { MAX_DEPTH } from '../http/json.ts';
import { numberOf } from '../inexact-number.ts';

/** One JSON array of records, or one record a line (https://github.com/ndjson/ndjson-spec). */
export type StreamFormat = 'json-array' | 'ndjson';

/** Parses a stream as it arrives. Both functions return the records that are complete by then. @throws SourceError */
interface JsonRecords {
  write(bytes: Uint8Array): unknown[];
  end(): unknown[];
}

/** The most bytes of one record; the bound is exact to one piece of the stream. */
const MAX_RECORD_BYTES = 4 * 1024 * 1024;

/**
 * Makes a parser that holds one record at a time.
 * @param name the stream in error messages, which say where it is wrong but quote nothing of it
 */
export function jsonRecords(format: StreamFormat, name: string): JsonRecords {
  const parser = new JSONParser(
    format === 'ndjson' ? { paths: ['$'], separator: '\n' } : { paths: ['$.*'], keepStack: false },
  );
  adapt(parser);
  let records: unknown[] = [];
  let complete = 0;
  let received = 0;
  let lastRecord = 0;
  let lastToken = 0;
  let depth = 0;
  let begun = false;

  const fault = (what: string) =>
    new SourceError(`${name} ${what} (record ${complete + 1}, after byte ${lastToken} of the stream)`);

  parser.onToken = ({ token, offset }) => {
    lastToken = offset;
    if (!begun && format === 'json-array' && token !== TokenType.LEFT_BRACKET) throw fault('is no JSON array');
    begun = true;
    if (token === TokenType.LEFT_BRACKET || token === TokenType.LEFT_BRACE) depth++;
    else if (token === TokenType.RIGHT_BRACKET || token === TokenType.RIGHT_BRACE) depth--;
    if (depth > MAX_DEPTH) throw fault(`nests deeper than ${MAX_DEPTH} levels`);
  };
  parser.onValue = ({ value }) => {
    records.push(value);
    complete++;
  };

  function parse(step: () => void, trouble: string) {
    records = [];
    try {
      step();
    } catch (error) {
      // Without a cause, because the parser's message quotes the text.
      throw error instanceof SourceError ? error : fault(trouble);
    }
    return records;
  }

  return {
    write(bytes) {
      const found = parse(() => parser.write(bytes), 'is not JSON in UTF-8');
      received += bytes.length;
      if (found.length > 0) lastRecord = received;
      if (received - lastRecord > MAX_RECORD_BYTES) throw fault(`has a record of more than ${MAX_RECORD_BYTES} bytes`);
      return found;
    },
    end() {
      if (!begun && format === 'json-array') throw fault('is empty');
      return parse(() => parser.isEnded || parser.end(), 'ends in the middle');
    },
  };
}

/** Where the last token begins before the fault of a text that is no JSON, in bytes. */
export function lastTokenOf(text: Uint8Array): number {
  const parser = new JSONParser({ paths: ['$'] });
  adapt(parser);
  let last = 0;
  parser.onToken = ({ offset }) => {
    last = offset;
  };
  parser.onValue = () => {};
  try {
    parser.write(text);
  } catch {
    // Only how far it came counts.
  }
  return last;
}

/**
 * The parser's own decoder takes a U+FEFF at the start of a string for a byte order mark and drops it; its own `parseNumber`,
 * made to be overridden, alters numbers of many digits.
 */
function adapt(parser: JSONParser) {
  const { tokenizer } = parser as unknown as { tokenizer: Tokenizer };
  tokenizer.bufferedString.decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  tokenizer.parseNumber = numberOf;
}

/** The parts of the parser's tokenizer that its types hide. */
interface Tokenizer {
  bufferedString: { decoder: unknown };
  parseNumber: (source: string) => unknown;
}
