import pLimit from 'p-limit';

// The obvious first version: read the list, then fetch with a limit.
const [sourceUrl, targetUrl, count] = process.argv.slice(2) as [string, string, string];

const startedMs = performance.now();
const cpu = process.cpuUsage();
const limit = pLimit(50);
const list = await fetch(`${sourceUrl}/v1/models?limit=${count}`, {
  headers: { authorization: `Basic ${btoa('bench:bench')}` },
});
const { models } = (await list.json()) as { models: { id: string }[] };
await limit.map(models, async ({ id, ...model }) => {
  const answer = await fetch(`${targetUrl}/v1/regions/eu/models/${encodeURIComponent(id)}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', authorization: 'Bearer bench-token' },
    body: JSON.stringify(model),
  });
  if (!answer.ok) throw new Error(`${id}: ${answer.status}`);
  await answer.arrayBuffer();
});
const { user, system } = process.cpuUsage(cpu);
const durationMs = performance.now() - startedMs;
console.log(JSON.stringify({ durationMs, cpuMs: (user + system) / 1000 }));
