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

/** An expired auth token is renewed this often within one attempt of a call, then the call fails: etcd3 itself would go on for ever. */
const MAX_AUTHENTICATIONS = 3;

/**
 * One endpoint: its client, and how often it has authenticated within the call under way.
 * @throws CredentialsError when a certificate or a key is none
 */
export function openMember(endpoint: string, { username, password, ca, cert, key }: EtcdCredentials) {
  const options = {
    hosts: endpoint,
    faultHandling: { host: () => noop, global: noop },
    grpcOptions: {
      // A node that comes back is found at the next attempt, not after gRPC's default of up to two minutes.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 500,
      // A client that replaces another one must not share its connection, which may have fallen silent.
      'grpc.use_local_subchannel_pool': 1,
      // Nobody gives etcd a service configuration in DNS, and to ask for one takes a lookup.
      'grpc.service_config_disable_resolution': 1,
    },
    ...(endpoint.startsWith('https:') && (ca || cert) ? { credentials: tlsCredentials(ca, cert, key) } : {}),
  };
  const callOptions = () => {
    if (++member.authentications > MAX_AUTHENTICATIONS)
      throw new EtcdInvalidAuthTokenError(`${MAX_AUTHENTICATIONS} tokens were refused one after another`);
    return { deadline: Math.min(Date.now() + 2000, member.deadline) };
  };
  /** The client, and the gate that gets its tokens where there is a user. */
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
    /** Of the attempt under way, which authenticating is a part of; in ms since 1970. */
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
 * For each token etcd3 opens a channel that does not have our options and that nobody closes: a warm process would collect
 * connections, and take one that has fallen silent again and again. `gate`, which needs no token, is closed and replaces
 * its connection like any other client.
 */
function authenticateThrough(client: Etcd3, gate: Etcd3) {
  authenticatorOf(client).getCredentialsFromHost = async (_host, name, password, callOptions) =>
    (await gate.auth.authenticate({ name, password }, callOptions)).token;
}

/** The next call asks for a new one. */
export function forgetToken(client: Etcd3) {
  authenticatorOf(client).invalidateMetadata();
}

const authenticatorOf = (client: Etcd3) =>
  (client as unknown as { pool: { authenticator: Authenticator } }).pool.authenticator;

/** What etcd3 does not declare of its Authenticator. */
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
    // gRPC takes null for "the system's authorities"; etcd3's type does not say so.
    rootCertificate: (ca === undefined ? null : Buffer.from(ca)) as Buffer,
    ...(cert !== undefined && key !== undefined ? { privateKey: Buffer.from(key), certChain: Buffer.from(cert) } : {}),
  };
}

/** OpenSSL's complaints, which gRPC passes on, have several lines, and a note of its resolver is mostly empty. */
export const oneLine = ({ message }: Error) =>
  message
    .replaceAll(/\s+/g, ' ')
    .replace(/ Resolution note: ?$/, '')
    .trim();
