import { Pool } from 'undici';
import { bodyOf, idOf } from '../source.ts';

// The upper bound: lanes that write prepared bodies and ignore the answers.
const [url, count, lanes] = process.argv.slice(2) as [string, string, string];
const writes = Array.from({ length: Number(count) }, (_, n) => ({
  path: `/v1/regions/eu/models/${encodeURIComponent(idOf(n))}`,
  body: bodyOf(n),
}));
const headers = { 'content-type': 'application/json', authorization: 'Bearer bench-token' };
const pool = new Pool(url, { connections: Number(lanes) });

const startedMs = performance.now();
const cpu = process.cpuUsage();
const rest = writes.values();
const lane = async () => {
  for (const { path, body } of rest) {
    const answer = await pool.request({ method: 'PUT', path, headers, body });
    await answer.body.dump();
  }
};
await Promise.all(Array.from({ length: Number(lanes) }, lane));
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ durationMs: performance.now() - startedMs, cpuMs: (user + system) / 1000 }));
await pool.close();
