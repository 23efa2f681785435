import { pathToFileURL } from 'node:url';
import { connectEtcd } from '../../../lib/lock/etcd.ts';

// Skips the same tick repeatedly in a warm process; with an endpoint, alternates with bare reads of etcd.
const [file, event, rounds, endpoint] = process.argv.slice(2) as [string, string, string, string | undefined];
const { handler } = await import(pathToFileURL(file).href);
const context = { awsRequestId: 'bench', functionName: 'solotick-bench-sync', getRemainingTimeInMillis: () => 900_000 };
const skip = async () => {
  const { status } = await handler(JSON.parse(event), context);
  if (status !== 'skipped') throw new Error(`the tick was ${status}`);
};
const etcd = endpoint === undefined ? undefined : connectEtcd([endpoint]);
const read = { success: [{ request_range: { key: Buffer.from('/bench-lock/state') } }] };

async function timed(work: () => Promise<unknown>) {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

const WARM_UP = etcd ? 20 : 0;
const pairs = [];
for (let round = -WARM_UP; round < Number(rounds); round++) {
  const own = await timed(skip);
  const other = etcd ? await timed(() => etcd.txn('read', read, { attemptMs: 5000, totalMs: 10_000 })) : 0;
  if (round >= 0) pairs.push({ own, other });
}
await etcd?.[Symbol.asyncDispose]();
process.stdout.write(`\n${JSON.stringify({ pairs })}\n`, () => process.exit());
