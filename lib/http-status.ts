/** By these a server, or a proxy before it, says that the same request may succeed later. */
const TRANSIENT = new Set([408, 421, 423, 425, 429]);

/** What the server cannot do (501), or not in this version of HTTP (505), it cannot do later either. */
const FINAL_SERVER_ERRORS = new Set([501, 505]);

/** Whether a status says nothing about the request itself. All 5xx do so but the final ones, also those that only proxies use. */
export const isTransientStatus = (status: number): boolean =>
  TRANSIENT.has(status) || (status >= 500 && !FINAL_SERVER_ERRORS.has(status));
