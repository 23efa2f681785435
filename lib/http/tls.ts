import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { SettingsError } from '../errors.ts';

/** How we and a server prove to each other who we are; all in PEM. */
export interface Identity {
  /** The authorities that may sign the server's certificate, beside those that Node trusts. */
  ca?: string | undefined;
  /** Our own certificate and its key. */
  cert?: string | undefined;
  key?: string | undefined;
}

/** The part of the secret about TLS with source and target. */
export interface TlsSecret {
  tls?: { source?: Identity | undefined; target?: Identity | undefined } | undefined;
}

/**
 * What the secret says about TLS with a server.
 * @throws SettingsError where requests would go there in the clear all the same
 */
export function identityFor(name: 'source' | 'target', baseUrl: string, secret: TlsSecret): Identity | undefined {
  const identity = secret.tls?.[name];
  const { protocol, hostname } = new URL(baseUrl);
  const stays = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
  if (!identity || protocol === 'https:' || stays) return identity;
  throw new SettingsError(`${name.toUpperCase()}_URL must be an https URL, because the secret has tls.${name}`);
}

/** Kept, because reading Node's authorities takes 100 ms. */
const contexts = new WeakMap<Identity, SecureContext>();

export function secureContextOf(identity: Identity): SecureContext {
  const known = contexts.get(identity);
  if (known) return known;
  const { ca, cert, key } = identity;
  const made = createSecureContext({
    ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }),
    ...(cert !== undefined && key !== undefined && { cert, key }),
  });
  contexts.set(identity, made);
  return made;
}
