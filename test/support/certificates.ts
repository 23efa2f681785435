import { createSign, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';

/** Both in PEM. */
export interface Certificate {
  cert: string;
  key: string;
}

export interface Authority extends Certificate {
  /** Signs a certificate for loopback, for servers and clients; with `expired`, it ended yesterday. */
  issue(name: string, options?: { expired?: boolean }): Certificate;
}

const DAY_MS = 86_400_000;

/** Makes an authority with the smallest certificates that TLS accepts: Node can read certificates, but not make them. */
export function createAuthority(name: string): Authority {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const sign = (subject: string, key: KeyObject, endsInMs: number, extensions: Buffer) =>
    signed({ subject, key, issuer: name, issuerKey: own.privateKey, endsInMs, extensions });
  return {
    cert: sign(name, own.publicKey, DAY_MS, isAuthority),
    key: pem(own.privateKey),
    issue(subject, { expired = false } = {}) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      return { cert: sign(subject, publicKey, expired ? -DAY_MS : DAY_MS, onLoopback), key: pem(privateKey) };
    },
  };
}

const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();

/** One element of DER: a tag, the length, the content. */
function der(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}

const SEQUENCE = 0x30;
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
const bits = (content: Buffer) => der(0x03, Buffer.from([0]), content);
const time = (ms: number) =>
  der(0x17, Buffer.from(`${new Date(ms).toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)}Z`));
const commonName = (name: string) =>
  der(SEQUENCE, der(0x31, der(SEQUENCE, oid('550403'), der(0x0c, Buffer.from(name)))));

const ecdsaWithSha256 = der(SEQUENCE, oid('2a8648ce3d040302'));
const critical = der(0x01, Buffer.from([255]));
/** basicConstraints: a certificate that may sign others. */
const isAuthority = der(SEQUENCE, oid('551d13'), critical, der(0x04, der(SEQUENCE, critical)));
/** subjectAltName: 127.0.0.1 and localhost. */
const onLoopback = der(
  SEQUENCE,
  oid('551d11'),
  der(0x04, der(SEQUENCE, der(0x87, Buffer.from([127, 0, 0, 1])), der(0x82, Buffer.from('localhost')))),
);

function signed(certificate: {
  subject: string;
  key: KeyObject;
  issuer: string;
  issuerKey: KeyObject;
  endsInMs: number;
  extensions: Buffer;
}): string {
  const { subject, key, issuer, issuerKey, endsInMs, extensions } = certificate;
  const now = Date.now();
  const body = der(
    SEQUENCE,
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1]), randomBytes(8)),
    ecdsaWithSha256,
    commonName(issuer),
    der(SEQUENCE, time(now - 2 * DAY_MS), time(now + endsInMs)),
    commonName(subject),
    key.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(SEQUENCE, extensions)),
  );
  const signature = createSign('sha256').update(body).sign(issuerKey);
  const whole = der(SEQUENCE, body, ecdsaWithSha256, bits(signature));
  return `-----BEGIN CERTIFICATE-----\n${whole.toString('base64').replaceAll(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
}
