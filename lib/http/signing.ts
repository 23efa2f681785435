import { type Auth, type AuthServer, NOBODY, type Signer } from '../auth.ts';
import { JobError } from '../errors.ts';
import type { Exchanging } from './exchange.ts';

/** The part of a job that says how its requests prove who sends them. */
export interface Authorized {
  auth?(from: { secret: unknown; settings: unknown }): Auth;
}

/** The job's own part of a secret. */
export interface OwnPart {
  own: unknown;
}

/**
 * Asks a job for its authorization at one of its servers.
 * @throws JobError where it throws or gives something else
 */
export function authOf(
  job: Authorized,
  name: AuthServer['name'],
  secret: OwnPart,
  settings: unknown,
): Auth | undefined {
  if (!job.auth) return undefined;
  let made: Auth | undefined;
  try {
    made = job.auth({ secret: secret.own, settings });
  } catch (error) {
    if (error instanceof JobError) throw new JobError(`${name}.auth: ${error.message}`);
    // Without its message, which may quote the secret.
    throw new JobError(`${name}.auth threw ${(error as Error)?.name}`);
  }
  if (typeof made?.open === 'function') return made;
  throw new JobError(
    `${name}.auth must return one authorization: basic(…), bearer(…), apiKey(…), oauth2(…) or another`,
  );
}

/** Makes the function that gives the signer for a version of the secret. */
export function signing(
  job: Authorized,
  server: Exchanging & { baseUrl: string },
  settings: unknown,
): (secret: OwnPart) => Signer {
  const { name, baseUrl } = server;
  const authServer: AuthServer = {
    ...{ name, baseUrl },
    async exchange(url, request) {
      // Loaded now, because it belongs to a kind that few jobs use.
      const { exchange } = await import('./exchange.ts');
      return exchange(url, request, server);
    },
  };
  let last: { secret: OwnPart; signer: Signer } | undefined;
  return (secret) => {
    if (last?.secret !== secret) {
      last = { secret, signer: authOf(job, name, secret, settings)?.open(authServer) ?? NOBODY };
    }
    return last.signer;
  };
}
