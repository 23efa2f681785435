import * as real from '../../../lib/lock/session.ts';
import { current } from '../process.ts';

/** Instead of `lib/lock/session`: the real one, seen by the checks, who ask what a process believes of its lease. */
export const openSession: typeof real.openSession = async (etcd, options) => {
  const process = current();
  const session = await real.openSession(etcd, options);
  process?.sessionOpened(session);
  return session;
};
