import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware';
import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import { boundError } from '../lib/bounded.ts';
import type { Job } from '../lib/job-types.ts';
import { createLog } from '../lib/log.ts';
import type { Invocation } from '../lib/run/invocation.ts';
import { createMetrics, type ReportMetrics } from '../lib/run/metrics.ts';
import { readSettings, type Settings } from '../lib/settings/config.ts';
import { type SecretStore, secretStore } from '../lib/settings/secrets.ts';
import { inItsFile, loadJob } from './load-job.ts';

const { JOB } = process.env;
const log = createLog(JOB ?? '');

/** Loaded while the environment starts. Where that fails, the first invocation says so. */
const loading = loadJob(JOB);
loading.catch(() => undefined);

/** Aborts when the process is asked to end: the run then drains, saves and unlocks as at its deadline. */
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());

/** Kept by a warm execution environment. The first invocation fills it, so that an error is that invocation's answer. */
let warm: { settings: Settings; secrets: SecretStore; metrics: ReportMetrics } | undefined;

/**
 * Makes a Lambda handler of `handle`: it passes the job that JOB names, settings and secrets, adds the request's id to log
 * lines and logs errors.
 */
export function lambda<T>(handle: (job: Job<unknown>, event: unknown, invocation: Invocation) => Promise<T>) {
  // middy's early time-out answers without waiting for the clean-up; the run has a deadline of its own.
  return middy({ timeoutEarlyInMillis: 0 })
    .use(injectLambdaContext(log, { resetKeys: true }))
    .onError((request) => {
      request.error = boundError(inItsFile(`${JOB}`, request.error));
      log.error('the invocation failed', { error: request.error });
    })
    .handler(async (event: unknown, context: Context): Promise<T> => {
      const job = await loading;
      if (!warm) {
        const settings = readSettings(process.env, job);
        warm = { settings, secrets: secretStore(settings.secretId, job), metrics: createMetrics(settings, log) };
      }
      return handle(job, event, {
        ...warm,
        log,
        requestId: context.awsRequestId,
        functionName: context.functionName,
        remainingMs: context.getRemainingTimeInMillis(),
        stop: stop.signal,
      });
    });
}
