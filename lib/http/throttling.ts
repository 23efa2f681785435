import type { IncomingHttpHeaders } from 'node:http';
import type { Signed } from '../auth.ts';
import { isTransientStatus } from '../http-status.ts';

/** What every answer begins with, whether its body has arrived or not. */
export interface Head {
  status: number;
  headers: IncomingHttpHeaders;
  /** What the job's check says about it; then its status does not count. */
  verdict?: string | undefined;
  /** What its request was signed with; set where the answer is no 2xx or has a verdict. */
  signed?: Signed;
}

/** What an answer says about when its server wants to be asked again. */
export interface Throttling {
  /** The server takes no requests of ours for a while, so the answer says nothing about this one. */
  throttles: boolean;
  /** For how long it wants to be left alone; undefined where it does not say so. */
  pauseMs: number | undefined;
}

const NONE: Throttling = { throttles: false, pauseMs: undefined };

/**
 * Reads whether an answer throttles, and for how long. The pause is that of `Retry-After` (RFC 9110, 10.2.3), or else the time
 * until a quota that is used up is reset (`RateLimit` and `RateLimit-*` of draft-ietf-httpapi-ratelimit-headers, `X-RateLimit-*`).
 * Dates count from the answer's own `Date`, because our clock may be wrong.
 */
export function throttlingOf({ status, headers }: Head): Throttling {
  if (status < 400) return NONE;
  const asked = headers['retry-after'];
  const nowMs = httpDateMs(headers.date) ?? Date.now();
  const pauseMs = retryAfterMs(asked, nowMs);
  // Other answers carry quotas as well, which have nothing to do with them.
  if (status !== 403 && status !== 429 && status !== 503) return { throttles: false, pauseMs };
  const quotas = quotasOf(headers, nowMs);
  const usedUp = quotas.filter(({ remaining = 1 }) => remaining <= 0);
  const unknown = quotas.filter(({ remaining }) => remaining === undefined);
  return {
    throttles: status === 429 || asked !== undefined || usedUp.length > 0,
    pauseMs: pauseMs ?? longest(usedUp) ?? longest(unknown),
  };
}

/**
 * For how long a server takes no more requests, by an answer that has nothing against this one: until the quota that it used
 * up is reset. Undefined where there is nothing to wait for.
 */
export function spentForMs({ headers }: Head): number | undefined {
  if (!TELLS_REMAINING.some((name) => headers[name] !== undefined)) return;
  const quotas = quotasOf(headers, httpDateMs(headers.date) ?? Date.now());
  // A limit or a rest below one request is how servers say that there is no limit.
  const spent = quotas.filter(({ limit = 1, remaining }) => remaining === 0 && limit > 0);
  return longest(spent) || undefined;
}

/** Whether the same request may succeed later. */
export const isTransientAnswer = (head: Head): boolean =>
  head.verdict ? head.verdict === 'retry' : isTransientStatus(head.status) || throttlingOf(head).throttles;

/**
 * Reads `Retry-After`, a number of seconds (some servers send a fraction) or a date; undefined for anything else. Of several,
 * as of a server and the proxy before it, the first counts.
 */
export function retryAfterMs(header: string | string[] | undefined, nowMs: number): number | undefined {
  const text = [header].flat()[0] ?? '';
  if (/^\d+(\.\d+)?$/.test(text.trim())) return Number(text) * 1000;
  const dateMs = httpDateMs(text);
  return dateMs === undefined ? undefined : Math.max(0, dateMs - nowMs);
}

/** How many requests the server still takes, and when it takes more. */
interface Quota {
  limit?: number | undefined;
  remaining: number | undefined;
  resetMs: number | undefined;
}

const FAMILIES = ['ratelimit', 'x-ratelimit', 'x-rate-limit'];
const TELLS_REMAINING = ['ratelimit', ...FAMILIES.map((name) => `${name}-remaining`)];

function quotasOf(headers: IncomingHttpHeaders, nowMs: number): Quota[] {
  const quota = (remaining: unknown, reset: unknown) => ({
    remaining: numberOf(remaining),
    resetMs: resetMs(reset, nowMs),
  });
  const first = (name: string) => [headers[name]].flat()[0];
  const families: Quota[] = FAMILIES.map((name) => ({
    limit: numberOf(first(`${name}-limit`)),
    ...quota(first(`${name}-remaining`), first(`${name}-reset`)),
  }));
  // `"burst";r=0;t=5, "day";r=90;t=3600`, or one quota over the whole list: `limit=100, remaining=0, reset=5`.
  const list = String(headers.ratelimit ?? '').replace(/"(?:[^"\\]|\\.)*"/g, '');
  const items = /\bremaining\s*=/.test(list) ? [list] : list.split(',');
  const value = (item: string, name: RegExp) => name.exec(item)?.[1];
  return families.concat(items.map((item) => quota(value(item, REMAINING), value(item, RESET))));
}

const REMAINING = /(?:^|[;,\s])(?:r|remaining)\s*=\s*(\d+)/;
const RESET = /(?:^|[;,\s])(?:t|reset)\s*=\s*(\d+)/;

function longest(quotas: Quota[]): number | undefined {
  const known = quotas.map(({ resetMs }) => resetMs).filter((ms) => ms !== undefined);
  return known.length > 0 ? Math.max(...known) : undefined;
}

/** Reads a reset: seconds from now, or a point in time, in seconds or milliseconds since 1970 or as a date. */
function resetMs(value: unknown, nowMs: number): number | undefined {
  const number = numberOf(value);
  if (number === undefined) {
    const dateMs = httpDateMs(value) ?? isoDateMs(value);
    return dateMs === undefined ? undefined : Math.max(0, dateMs - nowMs);
  }
  // As seconds since 1970 the first bound is the year 2001, as milliseconds the second one is 1973.
  if (number < 1e9) return Math.max(0, number * 1000);
  return Math.max(0, (number < 1e11 ? number * 1000 : number) - nowMs);
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'string' && /^\s*-?\d+(\.\d+)?\s*$/.test(value) ? Number(value) : undefined;
}

/** V8 takes "1.5" for a date as well, and one without a zone, as that of C's asctime, for our own. */
const httpDateMs = (value: unknown) =>
  dateMs(
    typeof value === 'string' ? value.replace(/\s\d{4}\s*$/, '$& GMT') : value,
    /^\s*(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/,
  );
const isoDateMs = (value: unknown) => dateMs(value, /^\d{4}-\d{2}-\d{2}T/);

function dateMs(value: unknown, form: RegExp): number | undefined {
  const ms = typeof value === 'string' && form.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}
