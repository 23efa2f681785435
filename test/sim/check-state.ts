import type { ITxnRequest, ITxnResponse } from 'etcd3';
import type { ModelEtcd } from './etcd.ts';

/** What only the holder of the lock may write, and the shard that it belongs to. */
const FENCED =
  /^\/sim\/state\/(?:(shards\/\d+-of-\d+)\/)?(?:run|checkpoint|watermark|recent|backfill|removals|backfills\/.*)$/;

/**
 * Applies a transaction of a process, and looks whether it writes state of a lock that is not its own at that moment.
 * @param options.leaseId the process's lease
 * @param options.complain is told of it
 */
export function checkedTxn(
  etcd: ModelEtcd,
  request: ITxnRequest,
  options: { leaseId: string | undefined; complain: (what: string) => void },
): ITxnResponse {
  const { leaseId, complain } = options;
  const written = (request.success ?? []).flatMap(({ request_put: put, request_delete_range: removed }) =>
    [put?.key, removed?.key].flatMap((key) => FENCED.exec(key?.toString() ?? '') ?? []).slice(0, 2),
  );
  const [key, shard] = written;
  const owner = key === undefined ? undefined : etcd.owner(shard ? `/sim/lock.${shard}` : '/sim/lock')?.lease;
  // A restore may put it behind a holder that has ended since: nobody runs under that key, and its own was compared.
  const mayComeSecond = owner !== undefined && leaseId !== undefined && etcd.restored.has(leaseId);
  const answer = etcd.txn(request);
  if (key !== undefined && answer.succeeded && (owner === undefined || owner !== leaseId) && !mayComeSecond)
    complain(`writes ${key}, although the lock belongs to lease ${owner}, not ${leaseId}`);
  return answer;
}
