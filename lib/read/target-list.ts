import type { List, SourceJob, TargetJob } from '../job-types.ts';
import { openSource, type Source, type SourceServer } from './source.ts';

/** Opens a job's target to list what it holds, in the same way as a source. Its SourceErrors say that it was at the target. */
export function openTargetList<R>(
  job: TargetJob<R> & { list: List },
  server: SourceServer,
): Pick<Source, 'pages' | typeof Symbol.asyncDispose> {
  const { auth, headers, list } = job;
  const asSource: SourceJob = {
    ...(auth && { auth }),
    ...(headers && { headers }),
    list,
    ...(job.check && { check: checkOfList(job) }),
  };
  return openSource(asSource, server, 'target');
}

/** The job's check speaks of writes: of a page, `written` says no more than its status, and `fenced` refuses it. */
function checkOfList<R>(job: TargetJob<R>): NonNullable<SourceJob['check']> {
  return (answer) => {
    const verdict = job.check?.(answer);
    if (verdict === 'written') return undefined;
    return verdict === 'fenced' ? 'refused' : verdict;
  };
}
