import dns, { type LookupAddress } from 'node:dns';
import { isIP } from 'node:net';

/** `dns.lookup`, as far as it is used here. */
export type Lookup = (
  hostname: string,
  options: { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** Where a server's connections go. */
export interface Addresses {
  /** The host's addresses, in the order to try them. @throws Error with the resolver's code */
  find(hostname: string): Promise<string[]>;
  /** Says how a connection went, so that the next one begins with addresses that answer. */
  note(tried: readonly string[], connected: string | undefined): void;
}

/** Short enough for a failover to be followed. */
const KEPT_MS = 30_000;
/** The same after a failure of the look-up, or of a connection. */
const KEPT_AFTER_FAILURE_MS = 1000;
/** The most addresses that one connection tries. */
const MAX_ADDRESSES = 8;

/**
 * Looks up a server's host once for all connections, one look-up at a time, and keeps the result for a short while: Node looks
 * a name up for each connection, few at a time, so a slow resolver would hold up all of them.
 */
export function createAddresses(lookup: Lookup = (...lookUp) => dns.lookup(...lookUp)): Addresses {
  let known: { hostname: string; addresses: Promise<LookupAddress[]>; untilMs: number } | undefined;
  /** Addresses that did not answer, or more slowly than another one. */
  const bad = new Set<string>();
  let turn = 0;

  function lookUp(hostname: string): Promise<LookupAddress[]> {
    if (known?.hostname === hostname && performance.now() < known.untilMs) return known.addresses;
    const addresses = lookUpOnce(hostname, lookup);
    const result = { hostname, addresses, untilMs: Number.POSITIVE_INFINITY };
    const keep = (forMs: number) => () => {
      result.untilMs = performance.now() + forMs;
    };
    addresses.then(keep(KEPT_MS), keep(KEPT_AFTER_FAILURE_MS));
    known = result;
    bad.clear();
    return addresses;
  }

  return {
    async find(hostname) {
      if (isIP(hostname)) return [hostname];
      const addresses = await lookUp(hostname);
      const ordered = inOrder(addresses, turn++);
      return ordered.sort((one, other) => Number(bad.has(one)) - Number(bad.has(other))).slice(0, MAX_ADDRESSES);
    },
    note(tried, connected) {
      for (const address of tried) if (address !== connected) bad.add(address);
      if (connected !== undefined) bad.delete(connected);
      else if (known && known.untilMs !== Number.POSITIVE_INFINITY)
        known.untilMs = Math.min(known.untilMs, performance.now() + KEPT_AFTER_FAILURE_MS);
    },
  };
}

function lookUpOnce(hostname: string, lookup: Lookup): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    const fail = (code: string | undefined, why: string) =>
      reject(Object.assign(new Error(`the look-up of ${hostname} failed: ${why}`), { code }));
    lookup(hostname, { all: true }, (error, addresses) => {
      if (error) fail(error.code, error.message);
      else if (addresses.length === 0) fail('ENODATA', 'it has no address');
      else resolve(addresses);
    });
  });
}

/** Takes turns between the families (RFC 8305, 4), and begins with another address each time, to spread the connections. */
function inOrder(addresses: LookupAddress[], turn: number): string[] {
  const first = addresses[0]!.family;
  const [own, other] = [true, false].map((same) => {
    const all = addresses.filter(({ family }) => (family === first) === same).map(({ address }) => address);
    return all.map((_, index) => all[(index + turn) % all.length]!);
  }) as [string[], string[]];
  return own.flatMap((address, index) => [address, ...other.slice(index, index + 1)]).concat(other.slice(own.length));
}
