import type { HttpAnswer } from '../http/client.ts';
import type { TargetJob } from '../job-types.ts';
import { openBulk } from './bulk.ts';
import { type Held, type Preparing, preparing, removing } from './prepare.ts';
import type { Target, Writing } from './target.ts';
import { requestMaker } from './write-request.ts';

/** Makes the requests of a dry run and sends none of them. A push needs answers, so it is not even begun. */
export function openRehearsal<R>(job: TargetJob<R>, writing: Writing<R>, held?: Held): Target<R> {
  const { id, deleted, runId, settings } = writing;
  const making = { runId, fence: { token: '', scope: '' } };
  const context = { settings, fencingToken: '', fencingScope: '' };
  const call = async (): Promise<HttpAnswer> => ({ status: 200, headers: {}, body: Buffer.alloc(0) });
  // Without an answer there are no results to look at.
  const { results: _, ...many } = job.writeMany ?? {};
  const bulk =
    job.writeMany &&
    openBulk<R>(many as typeof job.writeMany, {
      ...{ context, call, secret: () => undefined },
      requestFor: requestMaker<R[]>({ ...making, id: () => 'batch' }),
    });
  const ways: Preparing<R> = {
    job: job.push ? { ...job, push: async () => {} } : job,
    ...{ id, deleted, context, call, bulk, held, signal: new AbortController().signal },
    requestFor: requestMaker({ ...making, id }),
    removalFor: requestMaker<{ id: string }>({ ...making, id: ({ id }) => id }),
  };
  return {
    prepare: preparing(ways),
    remove: (id) => removing(ways, id),
    bulk,
    async [Symbol.asyncDispose]() {},
  };
}
