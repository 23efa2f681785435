import type { HttpRequest } from '../http/client.ts';

/** Waits until the old scopes are closed; the first request closes them. @throws what the request is refused with there */
type CloseFirst<T> = (request: T) => Promise<void>;

/**
 * Makes the first write in each of the old scopes before it is made in our own: a target that compares tokens refuses late
 * writes of earlier runs from then on. No other write begins before. If a write is refused there, the next one goes on.
 *
 * @param scopes in which a lower token may still be on its way
 * @param options.write makes a request to the target; resolves once the scope has seen our token or a higher one
 * @param options.closed called once all scopes have
 */
export function closingOldScopes<T extends HttpRequest>(
  scopes: string[],
  { write, closed }: { write: (request: T) => Promise<unknown>; closed: () => void },
): CloseFirst<T> {
  const open = new Set(scopes);
  /** Ends when the last write that tried to close them has. */
  let attempts: Promise<unknown> = Promise.resolve();

  async function close(request: T): Promise<void> {
    if (open.size === 0) return;
    const closeOne = async (scope: string) => {
      // A target that remembers keys must not take it for the same write.
      const key = `${request.headers['idempotency-key']}:closes-${scopes.indexOf(scope)}`;
      const headers = { ...request.headers, 'x-fencing-scope': encodeHeader(scope), 'idempotency-key': key };
      await write({ ...request, headers });
      open.delete(scope);
    };
    const [first, ...others] = open;
    // Alone, because a target that refuses it in one scope refuses it in all.
    await closeOne(first!);
    const answers = await Promise.allSettled(others.map(closeOne));
    const refused = answers.find((answer) => answer.status === 'rejected');
    if (refused) throw refused.reason;
    closed();
  }

  return async (request) => {
    // A request that reads compares no token.
    if (open.size === 0 || READS.has(request.method)) return;
    const attempt = attempts.then(() => close(request));
    attempts = attempt.catch(() => undefined);
    await attempt;
  };
}

const READS = new Set(['GET', 'HEAD']);

/** A header holds no more than Latin-1, so a lock key of other characters is sent URL-encoded. */
export const encodeHeader = (text: string) => (/^[\x21-\x7e]+$/.test(text) ? text : encodeURIComponent(text));
