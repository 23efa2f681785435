/** How the requests to a server prove who sends them. Made by `basic`, `bearer` and the other kinds in `http/auth.ts`. */
export interface Auth {
  /** Called once a run for each version of the secret. */
  open(server: AuthServer): Signer;
}

/** What an authorization may use. */
export interface AuthServer {
  name: 'source' | 'target';
  /** `SOURCE_URL` or `TARGET_URL`. */
  baseUrl: string;
  /** Sends a request to another server, with attempts and backoff as to any server. */
  exchange(url: string, request: Exchange): Promise<Exchanged>;
}

export interface Exchange {
  method: string;
  headers: Record<string, string>;
  body: string;
}

export interface Exchanged {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Uint8Array;
}

/** Signs each attempt of each request. */
export interface Signer {
  /**
   * @param refused what the server answered 401 to, where that was the last attempt of this request and `renews` is set
   * @throws CredentialsError where the credentials of the secret are refused
   */
  sign(request: Unsigned, refused?: Signed): Signed | Promise<Signed>;
  /** A 401 asks for a new signature, before the secret is read again. */
  renews?: boolean;
  /** The parameter whose value is secret. */
  queryName?: string;
}

/** A request as it goes on the wire. */
export interface Unsigned {
  method: string;
  /** Path and query below the base URL. */
  path: string;
  headers: Record<string, string>;
  body?: string | Uint8Array | undefined;
}

/** What a signature adds to a request. It is kept out of errors and logs. */
export interface Signed {
  headers: Record<string, string>;
  /** A parameter of the query, encoded. */
  query?: string;
}

export const UNSIGNED: Signed = { headers: {} };

/** Signs nothing. */
export const NOBODY: Signer = { sign: () => UNSIGNED };

/** A client that gets its tokens by its own credentials (RFC 6749, 4.4). */
export interface OAuth2Client {
  tokenUrl: string;
  clientId: string;
  clientSecret: string;
  scope?: string | undefined;
  audience?: string | undefined;
  /** Where the client's credentials go: into the Authorization header, or into the body. */
  clientAuth?: 'basic' | 'body' | undefined;
}
