import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as v from 'valibot';
import { listFaults } from '../bounded.ts';
import { CredentialsError, SecretError } from '../errors.ts';
import { type OwnSecret, readOwnParts } from './own-secret.ts';
import { isCertificates, isPair, isPrivateKey } from './pem.ts';

const text = v.pipe(v.string(), v.nonEmpty('must not be empty'));

const certificates = v.pipe(text, v.check(isCertificates, 'cannot be read as certificates in PEM'));

/** How we and a server prove to each other who we are. */
const identity = v.pipe(
  v.strictObject({
    ca: v.optional(certificates),
    cert: v.optional(certificates),
    key: v.optional(v.pipe(text, v.check(isPrivateKey, 'cannot be read as a private key in PEM without a passphrase'))),
  }),
  v.check(({ cert, key }) => !cert === !key, 'cert and key come together'),
  v.check(({ cert, key }) => !cert || !key || isPair(cert, key), 'cert and key cannot be used together'),
);

/** The parts that are not the job's own. */
const schema = v.object({
  etcd: v.optional(
    v.pipe(
      v.strictObject({
        username: v.optional(text),
        password: v.optional(text),
        ca: v.optional(text),
        cert: v.optional(text),
        key: v.optional(text),
      }),
      v.check((etcd) => !etcd.username === !etcd.password, 'username and password come together'),
      v.check((etcd) => !etcd.cert === !etcd.key, 'cert and key come together'),
    ),
    {},
  ),
  tls: v.optional(v.strictObject({ source: v.optional(identity), target: v.optional(identity) })),
});

/** The whole secret. `own` is what the job's schema makes of the other parts. */
export type Secret = v.InferOutput<typeof schema> & { own: unknown };

interface Version {
  secret: Secret;
  versionId: string;
  readAtMs: number;
}

/** The secret, cached for this execution environment. */
export interface SecretStore {
  /** Returns the cached version while it is young enough, else reads the secret. */
  read(signal: AbortSignal): Promise<Version>;
  /** Reads the secret, whatever is cached. */
  readAgain(signal: AbortSignal): Promise<Version>;
}

/** The default of AWS's own Parameters and Secrets extension (SECRETS_MANAGER_TTL). */
const MAX_AGE_MS = 300_000;

/** Opens a job's secret of Secrets Manager, which is read at its first use. */
export function secretStore(secretId: string, job: OwnSecret): SecretStore {
  const client = new SecretsManagerClient({
    maxAttempts: 3,
    requestHandler: { connectionTimeout: 2000, requestTimeout: 3000, throwOnRequestTimeout: true },
  });
  let cached: Version | undefined;

  async function readAgain(signal: AbortSignal): Promise<Version> {
    const answer = await client
      .send(new GetSecretValueCommand({ SecretId: secretId }), { abortSignal: signal })
      .catch((cause: Error) => {
        signal.throwIfAborted();
        // Without a cause, because the parser's message quotes the answer.
        if (cause instanceof SyntaxError) throw new SecretError(`secret ${secretId} could not be read: no JSON came`);
        throw new SecretError(`secret ${secretId} could not be read: ${cause.name}: ${cause.message}`, { cause });
      });
    cached = {
      secret: await parseSecret(secretId, answer.SecretString, job),
      versionId: answer.VersionId ?? '',
      readAtMs: performance.now(),
    };
    return cached;
  }

  return {
    readAgain,
    async read(signal) {
      return cached && performance.now() - cached.readAtMs < MAX_AGE_MS ? cached : readAgain(signal);
    },
  };
}

export async function parseSecret(secretId: string, json: string | undefined, job: OwnSecret): Promise<Secret> {
  let value: unknown;
  try {
    value = JSON.parse(json ?? '');
  } catch {
    // Without a cause, because the parser's message quotes the text.
    throw new SecretError(`secret ${secretId} is not JSON text`);
  }
  const invalid = (faults: string[]) =>
    new SecretError(`secret ${secretId} is not of the documented shape: ${listFaults(faults)}`);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(['the value must be an object']);
  }
  const { etcd, tls, ...rest } = value as Record<string, unknown>;
  const parsed = v.safeParse(schema, { etcd, tls }, { abortPipeEarly: true });
  const own = await readOwnParts(rest, job);
  const faults = (parsed.issues ?? []).map((issue) => {
    const path = v.getDotPath(issue) ?? 'the value';
    if (issue.expected === 'never') return `unknown key ${path}`;
    // Only the expected type, because the full message would quote the value.
    return issue.kind === 'schema' ? `${path} must be ${issue.expected ?? 'valid'}` : `${path} ${issue.message}`;
  });
  faults.push(...own.faults);
  if (!parsed.success || faults.length > 0) throw invalid(faults);
  return { ...parsed.output, own: own.parts };
}

/** One run's view of the secret. */
export interface Credentials {
  current(): Secret;
  /**
   * Called when a server answered 401 to `refused`. Returns the secret to go on with: a new reading, which is made once a run
   * and shared by all callers, those included whose 401 comes late.
   * @throws CredentialsError when the new reading is the same version, or was refused as well
   */
  renew(refused: Secret, signal: AbortSignal, cause?: Error): Promise<Secret>;
}

const refusal = (cause?: Error) => `the credentials were refused${cause ? ` (${cause.message})` : ''}`;

/** Opens a run's view with the cached secret. @throws SecretError */
export async function openCredentials(store: SecretStore, signal: AbortSignal): Promise<Credentials> {
  let version = await store.read(signal);
  let renewal: Promise<Secret> | undefined;

  async function readNewVersion(signal: AbortSignal, cause?: Error) {
    const next = await store.readAgain(signal);
    if (next.versionId === version.versionId) {
      throw new CredentialsError(`${refusal(cause)}, and the secret has no newer version`, { cause });
    }
    version = next;
    return next.secret;
  }

  return {
    current: () => version.secret,
    async renew(refused, signal, cause) {
      if (renewal && (await renewal) === refused) {
        throw new CredentialsError(`${refusal(cause)}, and those of the newest version of the secret as well`, {
          cause,
        });
      }
      renewal ??= readNewVersion(signal, cause);
      return renewal;
    },
  };
}
