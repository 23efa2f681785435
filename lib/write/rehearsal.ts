import type { TargetJob } from '../job-types.ts';
import type { Target, Writing } from './target.ts';
import { requestMaker, writeOf } from './write-request.ts';

/** Makes the requests of a dry run and sends none of them. A push needs answers, so it is not even begun. */
export function openRehearsal<R>(job: TargetJob<R>, { id, runId, settings }: Writing<R>): Target<R> {
  const requestFor = requestMaker({ runId, id, fence: { token: '', scope: '' } });
  const context = { settings, fencingToken: '', fencingScope: '' };
  return {
    prepare: (record) => ({
      async write() {
        if (!job.push) requestFor(record, () => writeOf(job, record, context));
      },
      content: undefined,
    }),
    async [Symbol.asyncDispose]() {},
  };
}
