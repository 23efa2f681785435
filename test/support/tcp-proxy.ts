import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What gets through: everything, nothing, or only what the client sends (`half-open`). */
export type ProxyMode = 'pass' | 'black-hole' | 'half-open';

/** A TCP proxy on loopback that loses the network on demand. */
export interface TcpProxy extends AsyncDisposable {
  /** The proxy's address with the server's scheme. */
  readonly url: string;
  /**
   * May be changed at any time. Data that does not get through is held back, as by a network's retransmissions, and
   * arrives when the mode changes, unless the connection has been cut by then.
   */
  mode: ProxyMode;
  /** Resets all connections; data that was held back is lost. */
  cut(): void;
  /** The open connections fall silent for good, as behind a NAT that has forgotten them; new ones follow the mode. */
  forget(): void;
}

interface Pair {
  client: Socket;
  upstream: Socket;
  forgotten: boolean;
}

/** Starts a proxy before `server`, a URL such as etcd's endpoints. */
export async function startTcpProxy(server: string): Promise<TcpProxy> {
  const { protocol, hostname, port } = new URL(server);
  const pairs = new Set<Pair>();
  let mode: ProxyMode = 'pass';

  /** A socket that is not read is a silent network: the sender's bytes stay in transit. */
  const flow = (socket: Socket, open: boolean) => (open ? socket.resume() : socket.pause());
  const apply = ({ client, upstream, forgotten }: Pair) => {
    flow(client, mode !== 'black-hole' && !forgotten);
    flow(upstream, mode === 'pass' && !forgotten);
  };

  const listener = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    const pair: Pair = { client, upstream, forgotten: false };
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
    client.on('data', (data) => upstream.write(data));
    upstream.on('data', (data) => client.write(data));
    apply(pair);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');

  function cut() {
    for (const { client, upstream } of pairs) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
    pairs.clear();
  }

  return {
    url: `${protocol}//127.0.0.1:${(listener.address() as AddressInfo).port}`,
    get mode() {
      return mode;
    },
    set mode(wanted) {
      mode = wanted;
      for (const pair of pairs) apply(pair);
    },
    cut,
    forget() {
      for (const pair of pairs) {
        pair.forgotten = true;
        apply(pair);
      }
    },
    async [Symbol.asyncDispose]() {
      cut();
      listener.close();
      await once(listener, 'close');
    },
  };
}
