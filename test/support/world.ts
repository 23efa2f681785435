import { randomUUID } from 'node:crypto';
import { startSource } from '../../infra/local/demo/source.ts';
import { startTarget } from '../../infra/local/demo/target.ts';
import { startSecrets } from '../../infra/local/secrets.ts';
import { parseBackfillEvent } from '../../lib/backfill-event.ts';
import { parseControl, parseTick } from '../../lib/event.ts';
import type { Job, SourceJob, TargetJob } from '../../lib/job-types.ts';
import { backfill } from '../../lib/run/backfill.ts';
import { control } from '../../lib/run/control.ts';
import { createMetrics } from '../../lib/run/metrics.ts';
import { run } from '../../lib/run/run.ts';
import type { Status } from '../../lib/run/status.ts';
import { readSettings } from '../../lib/settings/config.ts';
import { secretStore } from '../../lib/settings/secrets.ts';

import { job as shippedJob } from './job.ts';
import { jobOf, type Kind, startSourceOf } from './kinds-of-job.ts';
import { recordedLog } from './recorded-log.ts';

/** A record of the shipped job, changed at the given minute of 2026. */
export const model = (index: number, minute = index) => ({
  id: `model-${String(index).padStart(5, '0')}`,
  name: `Model ${index}`,
  updatedAt: new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString(),
  limit: { context: index, output: index },
});

/** The failed records of a status and their attempts. */
export const withoutReasons = ({ failed }: Status) => failed.map(({ id, attempts }) => ({ id, attempts }));

/**
 * The shipped job in this process, with a real source and target, a Secrets Manager endpoint, the given etcd, and its own
 * lock and state.
 */
export async function startWorld(options: {
  endpoints: string[];
  records: unknown[];
  latencyMs?: number;
  pageSize?: number;
  env?: Record<string, string>;
  /** The job of another kind, instead of the shipped one. */
  kind?: Kind;
  /** What differs from the shipped job. */
  job?: Partial<Omit<typeof shippedJob, 'source'>> & { source?: { one?: SourceJob['one'] | undefined } };
  /** Replaces how the shipped job lists its source. */
  list?: SourceJob['list'];
  /** Replaces how the shipped job writes. */
  writes?: TargetJob<ReturnType<typeof model>>;
}) {
  const { kind } = options;
  const shipped: Job<ReturnType<typeof model>> = {
    ...(shippedJob as Job<ReturnType<typeof model>>),
    ...options.job,
    source: { ...shippedJob.source, ...options.job?.source, ...(options.list && { list: options.list }) } as SourceJob,
    target: (options.writes ? { auth: shippedJob.target.auth, ...options.writes } : shippedJob.target) as TargetJob<
      ReturnType<typeof model>
    >,
  };
  const job = kind ? (jobOf(kind) as typeof shipped) : shipped;
  await using stack = new AsyncDisposableStack();
  const credentials = { username: 'reader', password: 'reader-password' };
  const { records, pageSize = 1000, latencyMs = 0 } = options;
  const token = 'writer-token';
  const ofKind = kind && stack.use(await startSourceOf({ kind, records, credentials, token }));
  const source = ofKind ?? stack.use(await startSource({ records, credentials, pageSize }));
  const target = stack.use(await startTarget({ token, regions: ['eu'], latencyMs, admits: ofKind?.admitsWriter }));
  const secrets = stack.use(await startSecrets({ world: { source: credentials, target: { token } } }));
  Object.assign(process.env, {
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
  });
  const prefix = `/world/${randomUUID()}`;
  const env: Record<string, string> = {
    STAGE: 'test',
    SECRET_ID: 'world',
    SOURCE_URL: source.url,
    TARGET_URL: target.url,
    TARGET_REGION_ID: 'eu',
    ...(ofKind && { TOKEN_URL: ofKind.tokenUrl }),
    ETCD_ENDPOINTS: options.endpoints.join(','),
    LOCK_KEY: `${prefix}/lock`,
    STATE_PREFIX: `${prefix}/state/`,
    // Long, because a busy machine must not lose the lock in a test about something else.
    LOCK_TTL_SECONDS: '30',
    DEADLINE_RESERVE_SECONDS: '1',
    ...options.env,
  };
  const store = secretStore('world', job);
  const { log, lines } = recordedLog();
  /** The metrics that CloudWatch would have received. */
  const emf: Record<string, unknown>[] = [];
  const metrics = createMetrics({ stage: 'test', job: job.name }, log, (line) => emf.push(JSON.parse(line)));
  const invocation = (remainingMs: number, stop: AbortSignal, kind = 'sync') => ({
    ...{ settings: readSettings(env, job), secrets: store, log, requestId: randomUUID(), remainingMs, stop },
    ...{ functionName: `solotick-test-${kind}`, metrics },
  });
  const never = new AbortController().signal;
  const owned = stack.move();
  return {
    ...{ source, target, secrets, env, lines, emf, prefix, invocation },
    tick: (event: unknown = {}, remainingMs = 60_000, stop = never) =>
      run(job, parseTick(event), invocation(remainingMs, stop)),
    backfill: (event: unknown = {}, remainingMs = 60_000, stop = never) =>
      backfill(job, parseBackfillEvent(event), invocation(remainingMs, stop, 'backfill')),
    control: (event: unknown) => control(parseControl(event), invocation(60_000, never)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
