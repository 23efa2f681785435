import * as v from 'valibot';
import { SettingsError } from '../errors.ts';
import { utcInstant } from '../instant.ts';
import { type OwnSettings, readOwnSettings } from './own-settings.ts';

const text = v.pipe(v.string(), v.trim(), v.nonEmpty('must not be empty'));

/** A whole number from `least` to `most`; by default at most the seconds that setTimeout can wait for. */
const wholeNumber = (least: number, most = 2_147_483) =>
  v.pipe(
    v.string(),
    v.trim(),
    v.check(
      (digits) => /^\d+$/.test(digits) && Number(digits) >= least && Number(digits) <= most,
      `must be a whole number from ${least} to ${most}`,
    ),
    v.transform(Number),
  );

const isHttpUrl = (candidate: string) => {
  const url = URL.parse(candidate);
  return url !== null && /^https?:$/.test(url.protocol) && !(url.username || url.password || url.search || url.hash);
};

const baseUrl = v.pipe(
  v.string(),
  v.trim(),
  v.check(isHttpUrl, 'must be an http:// or https:// URL without credentials, query or fragment'),
  v.transform((url) => url.replace(/\/+$/, '')),
);

const ENDPOINT = /^(https?):\/\/(\[[\da-f:.]+\]|[^\s/?#@:[\]]+)(?::(\d+))?\/?$/i;

/** Checked and completed here, because gRPC parses URLs in its own way and without a port uses 443 even for `http://`. */
const endpoints = v.pipe(
  v.string(),
  v.transform((list) => list.split(',').map((endpoint) => endpoint.trim())),
  v.check(
    (list) => list.every((endpoint) => ENDPOINT.test(endpoint) && URL.canParse(endpoint)),
    'must be a comma separated list of http://host:port or https://host:port',
  ),
  v.transform((list) =>
    list.map((endpoint) => {
      const [, scheme = '', host, port] = ENDPOINT.exec(endpoint) ?? [];
      const protocol = scheme.toLowerCase();
      return `${protocol}://${host}:${port ?? (protocol === 'https' ? 443 : 80)}`;
    }),
  ),
);

const lockKey = v.pipe(text, v.regex(/[^/]$/, 'must not end with a slash'));
const statePrefix = v.pipe(text, v.regex(/\/$/, 'must end with a slash'));

/**
 * Every setting by the name of its environment variable, with its check and its default. Defaults live only here, and a
 * stage's configuration file is checked against this table before anything is deployed.
 */
export const settingsTable = {
  STAGE: text,
  SERVICE: v.optional(text, 'solotick'),
  SECRET_ID: text,
  SOURCE_URL: baseUrl,
  SOURCE_TIMEOUT_MS: v.optional(wholeNumber(1, 900_000), '10000'),
  TARGET_URL: baseUrl,
  TARGET_TIMEOUT_MS: v.optional(wholeNumber(1, 900_000), '10000'),
  ETCD_ENDPOINTS: endpoints,
  ETCD_ALLOW_INSECURE_AUTH: v.optional(v.picklist(['true', 'false'], 'must be true or false'), 'false'),
  LOCK_KEY: v.optional(lockKey),
  LOCK_TTL_SECONDS: v.optional(wholeNumber(5, 3600), '15'),
  STATE_PREFIX: v.optional(statePrefix),
  CONCURRENCY: v.optional(wholeNumber(1, 10_000), '50'),
  MAX_READS_PER_SECOND: v.optional(wholeNumber(1)),
  MAX_WRITES_PER_SECOND: v.optional(wholeNumber(1)),
  DEADLINE_RESERVE_SECONDS: v.optional(wholeNumber(1, 600), '10'),
  STARTING_DEADLINE_SECONDS: v.optional(wholeNumber(1)),
  MIN_INTERVAL_SECONDS: v.optional(wholeNumber(1)),
  SKIPS_BEFORE_WARNING: v.optional(wholeNumber(1), '3'),
  CONTINUE: v.optional(v.picklist(['next-tick', 'self'], 'must be next-tick or self'), 'next-tick'),
  OVERLAP: v.optional(v.picklist(['skip', 'follow'], 'must be skip or follow'), 'skip'),
  YIELD: v.optional(v.picklist(['page', 'never'], 'must be page or never'), 'page'),
  SHARDS: v.optional(wholeNumber(1, 1000), '1'),
  FAILURES_BEFORE_STOP: v.optional(wholeNumber(1), '100'),
  DEAD_LETTER_QUEUE_URL: v.optional(baseUrl),
  INITIAL_SINCE: v.optional(utcInstant),
  FULL_EVERY_HOURS: v.optional(wholeNumber(1, 87_600)),
  WATERMARK_OVERLAP_SECONDS: v.optional(wholeNumber(0), '60'),
  MAX_REMOVALS_PERCENT: v.optional(wholeNumber(0, 100), '10'),
};

// Strict although nothing unknown gets here: most settings are absent, and once V8 has seen that in `v.object`, it optimises
// and deoptimises its code for the records a thousand times a run.
const schema = v.strictObject(settingsTable);

export type Settings = ReturnType<typeof readSettings>;

/**
 * Reads the settings of one job from the environment's variables: those of the table above, and the job's own. An empty
 * variable counts as absent.
 * @throws SettingsError that lists every missing or malformed setting by name
 */
export function readSettings(env: Readonly<Record<string, string | undefined>>, job: OwnSettings & { name: string }) {
  const given = Object.fromEntries(
    Object.keys(settingsTable).flatMap((name) => (env[name]?.trim() ? [[name, env[name]]] : [])),
  );
  const parsed = v.safeParse(schema, given, { abortPipeEarly: true });
  const own = readOwnSettings(env, job);
  const faults = (parsed.issues ?? []).map((issue) => {
    const name = String(issue.path?.[0]?.key);
    return name in given ? `${name} ${issue.message}` : `${name} is missing`;
  });
  faults.push(...own.faults);
  if (!parsed.success || faults.length > 0) {
    throw new SettingsError(`${faults.length} setting(s) missing or malformed: ${faults.join('; ')}`);
  }
  const table = parsed.output;
  const root = `/solotick/${table.STAGE}/${job.name}`;
  const lockKey = table.LOCK_KEY ?? `${root}/lock`;
  const statePrefix = table.STATE_PREFIX ?? `${root}/state/`;
  // Any key below the lock's key blocks the lock for good.
  if (statePrefix.startsWith(`${lockKey}/`) || statePrefix.startsWith(`${lockKey}.shards/`)) {
    throw new SettingsError(
      `STATE_PREFIX ${statePrefix} must not lie below LOCK_KEY ${lockKey}: its keys would hold the lock`,
    );
  }
  if (
    ['backfills/', 'backfill-ids/', 'cancelled/', 'shards/'].some((part) =>
      `${lockKey}/`.startsWith(statePrefix + part),
    )
  ) {
    throw new SettingsError(`LOCK_KEY ${lockKey} must not lie among the state of STATE_PREFIX ${statePrefix}`);
  }
  return {
    job: job.name,
    /** What the job's own schema makes of its settings. */
    own: own.settings,
    stage: table.STAGE,
    /** The name of the deployment, as servers see it. */
    service: table.SERVICE,
    secretId: table.SECRET_ID,
    source: { url: table.SOURCE_URL, timeoutMs: table.SOURCE_TIMEOUT_MS },
    target: { url: table.TARGET_URL, timeoutMs: table.TARGET_TIMEOUT_MS },
    etcdEndpoints: table.ETCD_ENDPOINTS,
    /** Whether etcd's password may go over `http://`. */
    etcdAllowInsecureAuth: table.ETCD_ALLOW_INSECURE_AUTH === 'true',
    /** The lock and the state of the whole job; `placesOf` derives those of a shard. */
    lockKey,
    lockTtlSeconds: table.LOCK_TTL_SECONDS,
    statePrefix,
    continue: table.CONTINUE,
    /** Whether a tick that found the lock held by another one runs as soon as that has ended. */
    follows: table.OVERLAP === 'follow',
    /** Whether a backfill makes way for a tick that found the lock held. */
    yields: table.YIELD === 'page',
    shards: table.SHARDS,
    concurrency: table.CONCURRENCY,
    maxReadsPerSecond: table.MAX_READS_PER_SECOND,
    maxWritesPerSecond: table.MAX_WRITES_PER_SECOND,
    deadlineReserveSeconds: table.DEADLINE_RESERVE_SECONDS,
    startingDeadlineSeconds: table.STARTING_DEADLINE_SECONDS,
    minIntervalSeconds: table.MIN_INTERVAL_SECONDS,
    skipsBeforeWarning: table.SKIPS_BEFORE_WARNING,
    failuresBeforeStop: table.FAILURES_BEFORE_STOP,
    deadLetterQueueUrl: table.DEAD_LETTER_QUEUE_URL,
    initialSince: table.INITIAL_SINCE,
    fullEveryHours: table.FULL_EVERY_HOURS,
    watermarkOverlapSeconds: table.WATERMARK_OVERLAP_SECONDS,
    /** Of the records that the target holds; a pass removes up to ten in any case. */
    maxRemovalsPercent: table.MAX_REMOVALS_PERCENT,
  };
}
