import { type AuthServer, NOBODY, type Signer } from '../auth.ts';
import { type Authorized, authOf, type OwnPart } from '../authorized.ts';
import type { Exchanging } from './exchange.ts';

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
