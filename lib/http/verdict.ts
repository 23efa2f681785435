import { HttpError } from '../errors.ts';
import type { Answer } from '../job-types.ts';
import type { HttpAnswer } from './client.ts';
import { decoded } from './decoding.ts';
import { parseJson } from './json.ts';

/** The answer as a job sees it; its body is unpacked and parsed when it is asked for. */
export function answerOf(answer: HttpAnswer, maxBytes: number): Answer {
  const body = () => {
    if (answer.dropped) throw new RangeError(`the answer is larger than ${maxBytes} bytes`);
    return decoded(answer, maxBytes);
  };
  return {
    status: answer.status,
    headers: answer.headers,
    text: () => Buffer.from(body()).toString(),
    json() {
      const bytes = body();
      try {
        return parseJson(bytes);
      } catch {
        // The parser's message quotes the text.
        throw new SyntaxError(`the ${bytes.length} bytes of the answer are not JSON in UTF-8`);
      }
    },
  };
}

/**
 * What a job's `check` says about an answer; undefined: its status counts. Where it throws, as at the HTML of a gateway, the
 * status counts too, unless that is a 2xx.
 * @throws HttpError where it throws at a 2xx, or says something else
 */
export function verdictOf<V extends string>(
  check: (answer: Answer) => V | undefined,
  answer: Answer,
  known: readonly V[],
): V | undefined {
  let verdict: V | undefined;
  try {
    verdict = check(answer);
  } catch (error) {
    if (answer.status > 299) return undefined;
    throw new HttpError(`check of the job threw ${(error as Error)?.name} at an answer ${answer.status}`, false);
  }
  if (verdict === undefined || known.includes(verdict)) return verdict;
  throw new HttpError(`check of the job must return ${known.join(', ')} or undefined`, false);
}
