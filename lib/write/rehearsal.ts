import type { HttpAnswer } from '../http/client.ts';
import type { TargetJob } from '../job-types.ts';
import type { Held } from './held.ts';
import { type Writing, writesOf } from './prepare.ts';
import type { Target } from './target.ts';

/** Makes the requests of a dry run and sends none of them. A push needs answers, so it is not even begun. */
export function openRehearsal<R>(job: TargetJob<R>, writing: Writing<R>, held?: Held): Target<R> {
  const { push, writeMany, ...rest } = job;
  const rehearsed: TargetJob<R> = {
    ...rest,
    ...(push && { push: async () => {} }),
    // Nobody answers, so there are no results.
    ...(writeMany && { writeMany: { ...writeMany, results: (_, records: R[]) => records.map(() => 'written') } }),
  };
  const by = { fence: { token: '', scope: '' }, agent: undefined, signal: new AbortController().signal };
  return {
    ...writesOf(rehearsed, writing, { ...by, call: notSent, held, secret: () => undefined }),
    async [Symbol.asyncDispose]() {},
  };
}

const notSent = async (): Promise<HttpAnswer> => ({ status: 200, headers: {}, body: Buffer.alloc(0) });
