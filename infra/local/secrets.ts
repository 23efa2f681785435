import { randomUUID } from 'node:crypto';
import { answer, bodyOf, type Served, serve } from './serve.ts';

export interface LocalSecrets extends Served {
  /** Stores a new version of a secret; a value that is not text becomes JSON. Returns the version id. */
  put(id: string, value: unknown): string;
  /** The number of calls of GetSecretValue, failed ones included. */
  readonly reads: number;
}

/**
 * A Secrets Manager endpoint for AWS's own SDK, which finds it by AWS_ENDPOINT_URL_SECRETS_MANAGER. It knows
 * GetSecretValue and does not check signatures; its secrets come from this process.
 */
export async function startSecrets(secrets: Record<string, unknown> = {}): Promise<LocalSecrets> {
  const versions = new Map<string, { VersionId: string; SecretString: string; CreatedDate: number }>();
  let reads = 0;

  const served = await serve(async (request, response) => {
    const json = { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': randomUUID() };
    const refuse = (type: string, message: string) =>
      answer(response, 400, { __type: type, Message: message, message }, json);
    const body = await bodyOf(request);
    if (request.headers['x-amz-target'] !== 'secretsmanager.GetSecretValue') {
      return refuse('UnknownOperationException', 'this endpoint only knows GetSecretValue');
    }
    reads++;
    const id = String(JSON.parse(body).SecretId);
    const version = versions.get(id);
    if (!version) return refuse('ResourceNotFoundException', "Secrets Manager can't find the specified secret.");
    const ARN = `arn:aws:secretsmanager:us-east-1:000000000000:secret:${id}-local0`;
    answer(response, 200, { ARN, Name: id, VersionStages: ['AWSCURRENT'], ...version }, json);
  });

  const put = (id: string, value: unknown) => {
    const VersionId = randomUUID();
    const SecretString = typeof value === 'string' ? value : JSON.stringify(value);
    versions.set(id, { VersionId, SecretString, CreatedDate: Date.now() / 1000 });
    return VersionId;
  };
  for (const [id, value] of Object.entries(secrets)) put(id, value);
  return {
    ...served,
    put,
    get reads() {
      return reads;
    },
  };
}
