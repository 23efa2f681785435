import type { HttpAnswer } from '../http/client.ts';
import type { TargetJob } from '../job-types.ts';
import type { Held } from './held.ts';
import { type Writing, writesOf } from './prepare.ts';
import type { Target } from './target.ts';

/**
 * Makes the requests of a dry run and sends none of them. A push needs answers, so it is not even begun.
 * @param differs receives what would be written: the body that `write` makes, or the record
 */
export function openRehearsal<R>(
  job: TargetJob<R>,
  writing: Writing<R>,
  held?: Held,
  differs?: (id: string, body: unknown) => void,
): Target<R> {
  const { push, writeMany, ...rest } = job;
  const rehearsed: TargetJob<R> = {
    ...rest,
    ...(push && { push: async () => {} }),
    // Nobody answers, so there are no results.
    ...(writeMany && { writeMany: { ...writeMany, results: (_, records: R[]) => records.map(() => 'written') } }),
  };
  const context = { settings: writing.settings, fencingToken: '', fencingScope: '' };
  const by = { fence: { token: '', scope: '' }, agent: undefined, signal: new AbortController().signal };
  const writes = writesOf(rehearsed, writing, { ...by, call: notSent, held, secret: () => undefined });
  const { bulk } = writes;
  const differ = (record: R) => differs?.(writing.id(record), bodyOf(record));
  return {
    ...writes,
    bulk: bulk && {
      ...bulk,
      write(batch, answered) {
        for (const { record } of batch) differ(record);
        return bulk.write(batch, answered);
      },
    },
    // What the job cannot remove would stay, and the target differs all the same.
    remove: (id) => (job.remove ? writes.remove(id) : { as: 'unchanged', content: () => undefined }),
    prepare(record) {
      const prepared = writes.prepare(record);
      const { as, write } = prepared;
      if (as !== 'written' || !write) return prepared;
      // Not before: what is prepared may be no record that was asked for.
      const told = () => {
        differ(record);
        return write();
      };
      return { ...prepared, write: told };
    },
    async [Symbol.asyncDispose]() {},
  };

  function bodyOf(record: R): unknown {
    try {
      return job.write ? job.write(record, context).body : record;
    } catch {
      return undefined;
    }
  }
}

const notSent = async (): Promise<HttpAnswer> => ({ status: 200, headers: {}, body: Buffer.alloc(0) });
