import type { Auth, AuthServer } from './auth.ts';
import { JobError } from './errors.ts';

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
