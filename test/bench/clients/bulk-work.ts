import { hash } from 'node:crypto';
import { Pool } from 'undici';
import * as v from 'valibot';
import { common, type Model } from '../project/record.ts';

// A loop that does to each record what a run promises of it, and nothing else: it reads the pages, one ahead, checks each record
// by the job's schema, hashes its content for the idempotency key and posts 500 at a time. It holds no lock, keeps no state, and
// ends at the first fault.
const [sourceUrl, targetUrl, lanes] = process.argv.slice(2) as [string, string, string];
const SIZE = 500;
const source = new URL(sourceUrl);
const sourcePool = new Pool(source.origin, { connections: 1 });
const targetPool = new Pool(targetUrl, { connections: Number(lanes) });
const headers = { 'content-type': 'application/json', authorization: 'Bearer bench-token' };

interface Page {
  models: unknown[];
  nextCursor: string | null;
}

async function pageAt(cursor: string | null): Promise<Page> {
  const path = `${source.pathname}/v1/models?limit=${SIZE}${cursor === null ? '' : `&cursor=${cursor}`}`;
  const { body } = await sourcePool.request({ method: 'GET', path });
  return (await body.json()) as Page;
}

async function post(models: Model[]): Promise<void> {
  const bodies = models.map((model) => JSON.stringify(model));
  const key = hash('sha256', bodies.map((body) => hash('sha256', body, 'base64')).join());
  const answer = await targetPool.request({
    method: 'POST',
    path: '/v1/models',
    headers: { ...headers, 'idempotency-key': key },
    body: `[${bodies.join()}]`,
  });
  await answer.body.dump();
  if (answer.statusCode >= 300) throw new Error(`the target answered ${answer.statusCode}`);
}

const startedMs = performance.now();
const cpu = process.cpuUsage();
const posting = new Set<Promise<void>>();
let written = 0;
for (let page = pageAt(null); ; ) {
  const { models, nextCursor } = await page;
  if (nextCursor !== null) page = pageAt(nextCursor);
  const checked = models.map((model) => v.parse(common.record, model));
  while (posting.size >= Number(lanes)) await Promise.race(posting);
  const posted = post(checked).finally(() => posting.delete(posted));
  posting.add(posted);
  written += checked.length;
  if (nextCursor === null) break;
}
await Promise.all(posting);
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ durationMs: performance.now() - startedMs, cpuMs: (user + system) / 1000, written }));
await Promise.all([sourcePool.close(), targetPool.close()]);
