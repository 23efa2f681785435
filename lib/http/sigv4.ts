import { createHash, createHmac } from 'node:crypto';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { SignatureV4 } from '@smithy/signature-v4';
import type { AuthServer, Signer, Unsigned } from '../auth.ts';
import { JobError } from '../errors.ts';

/** Signs with the credentials of the function's role, by AWS's own signer. */
export function awsSigner(signing: { service: string; region?: string | undefined }, server: AuthServer): Signer {
  // Lambda sets it, and AWS's own clients read it there too.
  const region = signing.region ?? process.env.AWS_REGION;
  if (!region) throw new JobError(`${server.name}.auth: sigV4 needs a region, here or in AWS_REGION`);
  const { protocol, host, hostname, pathname } = new URL(server.baseUrl);
  const basePath = pathname.replace(/\/$/, '');
  const signer = new SignatureV4({
    ...{ service: signing.service, region, credentials: defaultProvider(), sha256: Sha256 },
    // S3 alone does not encode the path a second time.
    uriEscapePath: signing.service !== 's3',
  });
  return {
    async sign({ method, path, headers, body }: Unsigned) {
      const [, place = '', query = ''] = /^([^?]*)\??(.*)$/s.exec(basePath + path) ?? [];
      const { headers: signed } = await signer.sign({
        ...{ method, protocol, hostname, path: place, query: queryOf(query), body },
        headers: { host, ...signable(headers) },
      });
      const { host: _host, 'content-type': _type, ...added } = signed;
      return { headers: added };
    },
  };
}

/** Others may be altered on the way. */
const signable = (headers: Record<string, string>) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name === 'content-type' || name.startsWith('x-amz-')));

/** The parameters as they are on the wire, where a plus is a plus. */
function queryOf(query: string): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const parameter of query.split('&').filter(Boolean)) {
    const [name = '', ...value] = parameter.split('=').map(decodeURIComponent);
    found[name] = [...(found[name] ?? []), value.join('=')];
  }
  return found;
}

/** The hash that the signer asks for. */
class Sha256 {
  readonly #hash;

  constructor(key?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = key === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(key));
  }

  update(data: string | ArrayBuffer | ArrayBufferView) {
    this.#hash.update(bytesOf(data));
  }

  async digest(): Promise<Uint8Array> {
    return new Uint8Array(this.#hash.digest());
  }

  reset() {}
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}
