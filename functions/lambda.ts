import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware';
import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import { createLog } from '../lib/log.ts';
import type { Invocation } from '../lib/run/invocation.ts';
import { createMetrics, type ReportMetrics } from '../lib/run/metrics.ts';
import { readSettings, type Settings } from '../lib/settings/config.ts';
import { type SecretStore, secretStore } from '../lib/settings/secrets.ts';
import { job } from './job.ts';

const log = createLog(job.name);

/** Aborts when the process is asked to end: the run then drains, saves and unlocks as it does at its deadline. */
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());

/** What a warm execution environment keeps: read at the first invocation, so that an error is that invocation's answer. */
let warm: { settings: Settings; secrets: SecretStore; metrics: ReportMetrics } | undefined;

/** Wraps `handle` as a Lambda handler: settings and the secret's cache, log lines with the request, errors logged. */
export function lambda<T>(handle: (event: unknown, invocation: Invocation) => Promise<T>) {
  // middy's early time-out answers without waiting for the clean-up: the run keeps a deadline of its own.
  return middy({ timeoutEarlyInMillis: 0 })
    .use(injectLambdaContext(log, { resetKeys: true }))
    .onError(({ error }) => log.error('the invocation failed', { error }))
    .handler(async (event: unknown, context: Context): Promise<T> => {
      if (!warm) {
        const settings = readSettings(process.env, job.name);
        warm = { settings, secrets: secretStore(settings.secretId), metrics: createMetrics(settings, log) };
      }
      return handle(event, {
        ...warm,
        log,
        requestId: context.awsRequestId,
        functionName: context.functionName,
        remainingMs: context.getRemainingTimeInMillis(),
        stop: stop.signal,
      });
    });
}
