import { noop } from 'cockatiel';
import { Etcd3, EtcdInvalidAuthTokenError } from 'etcd3';
import { CredentialsError } from '../errors.ts';

export interface EtcdCredentials {
  username?: string | undefined;
  password?: string | undefined;
  /** PEM: the authority that signed the servers' certificates. */
  ca?: string | undefined;
  /** PEM: the client's certificate and its key. */
  cert?: string | undefined;
  key?: string | undefined;
}

/** The most tokens that one attempt of a call may fetch before it fails; etcd3 itself would fetch them without end. */
const MAX_AUTHENTICATIONS = 3;

const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/**
 * Opens one endpoint: its client, and the number of tokens that the attempt under way has fetched.
 * @throws CredentialsError when a certificate or a key cannot be read
 */
export function openMember(endpoint: string, { username, password, ca, cert, key }: EtcdCredentials) {
  const options = {
    hosts: endpoint,
    faultHandling: { host: () => noop, global: noop },
    grpcOptions: {
      // Finds a node that comes back at the next attempt; gRPC's default backoff goes up to two minutes.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 500,
      // A client that replaces another must not share its connection, which may have fallen silent.
      'grpc.use_local_subchannel_pool': 1,
      // A read of the state is a dozen values, each of which etcd lets grow to 1.5 MB.
      'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
      // etcd has no service configuration in DNS, and asking for one costs a lookup.
      'grpc.service_config_disable_resolution': 1,
    },
    ...(endpoint.startsWith('https:') && (ca || cert) ? { credentials: tlsCredentials(ca, cert, key) } : {}),
  };
  const callOptions = () => {
    if (++member.authentications > MAX_AUTHENTICATIONS)
      throw new EtcdInvalidAuthTokenError(`${MAX_AUTHENTICATIONS} tokens were refused one after another`);
    return { deadline: Math.min(Date.now() + 2000, member.deadline) };
  };
  /** Opens the client and, where there is a user, the gate that fetches its tokens. */
  const open = (): [Etcd3, Etcd3?] => {
    try {
      if (username === undefined || password === undefined) return [new Etcd3(options)];
      const client = new Etcd3({ ...options, auth: { username, password, callOptions } });
      const gate = new Etcd3(options);
      authenticateThrough(client, gate);
      return [client, gate];
    } catch (cause) {
      throw new CredentialsError(`etcd.ca, cert or key of the secret cannot be read: ${oneLine(cause as Error)}`, {
        cause,
      });
    }
  };
  let clients = open();
  const member = {
    endpoint,
    authentications: 0,
    /** When the attempt under way has to end, its authentication included; in ms since 1970. */
    deadline: 0,
    get client() {
      return clients[0];
    },
    close() {
      for (const client of clients) client?.close();
    },
    reopen() {
      member.close();
      clients = open();
    },
  };
  return member;
}

/**
 * Makes `client` fetch its tokens through `gate`, which needs none itself. etcd3 would open a channel for each token, without
 * our options, and never close it: a warm process would collect connections and reuse one that has fallen silent. `gate` is
 * closed and reconnects like any other client.
 */
function authenticateThrough(client: Etcd3, gate: Etcd3) {
  authenticatorOf(client).getCredentialsFromHost = async (_host, name, password, callOptions) =>
    (await gate.auth.authenticate({ name, password }, callOptions)).token;
}

/** Makes the next call fetch a new token. */
export function forgetToken(client: Etcd3) {
  authenticatorOf(client).invalidateMetadata();
}

const authenticatorOf = (client: Etcd3) =>
  (client as unknown as { pool: { authenticator: Authenticator } }).pool.authenticator;

/** The part of etcd3's Authenticator that its types hide. */
interface Authenticator {
  invalidateMetadata(): void;
  getCredentialsFromHost(
    host: string,
    name: string,
    password: string,
    callOptions: { deadline: number },
  ): Promise<string>;
}

function tlsCredentials(ca?: string, cert?: string, key?: string) {
  return {
    // To gRPC null means the system's authorities, although etcd3's type does not allow it.
    rootCertificate: (ca === undefined ? null : Buffer.from(ca)) as Buffer,
    ...(cert !== undefined && key !== undefined ? { privateKey: Buffer.from(key), certChain: Buffer.from(cert) } : {}),
  };
}

/** The message on one line: OpenSSL's errors have several, and gRPC adds a resolution note that is mostly empty. */
export const oneLine = ({ message }: Error) =>
  message
    .replaceAll(/\s+/g, ' ')
    .replace(/ Resolution note: ?$/, '')
    .trim();
