import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

const BEGIN = '-----BEGIN CERTIFICATE-----';

/** Whether each certificate in a text can be read, and there is one. */
export function isCertificates(pem: string): boolean {
  const [, ...all] = pem.split(BEGIN);
  return all.length > 0 && all.every((rest) => works(() => new X509Certificate(BEGIN + rest)));
}

/** Whether a text is a private key without a passphrase. */
export const isPrivateKey = (pem: string): boolean => works(() => createPrivateKey(pem));

/** Whether a certificate and its key can be used for TLS. */
export const isPair = (cert: string, key: string): boolean => works(() => createSecureContext({ cert, key }));

/** The error is dropped, because it may quote what could not be read. */
function works(attempt: () => unknown): boolean {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
}
