import type { Http, HttpAnswer, HttpRequest } from './http.ts';
import { withRetries } from './retry.ts';
import type { Credentials, Secret } from './secrets.ts';

/** What a run brings along to talk to an API. */
export interface Access {
  http: Http;
  credentials: Pick<Credentials, 'current' | 'renew'>;
  /** Called before each attempt, retries included; throws once the lock can have been lost. */
  check: () => void;
}

/**
 * Sends what `build` makes of the secret, with retries, until the answer is no 401. A 401 has the secret read again, once a
 * run and once for all who wait; it counts as no attempt.
 * @throws HttpError, the reason of `stop`, what `check` throws, CredentialsError when the newer secret is refused too
 */
export async function call(
  { http, credentials, check }: Access,
  build: (secret: Secret) => HttpRequest,
  stop: AbortSignal,
): Promise<HttpAnswer> {
  let secret = credentials.current();
  for (;;) {
    const request = build(secret);
    const answer = await withRetries(() => http.send(request), { stop, check });
    if (answer.status !== 401) return answer;
    const refusal = new Error(`${request.method} ${http.url(request.path)} answered 401`);
    secret = await credentials.renew(secret, stop, refusal);
  }
}
