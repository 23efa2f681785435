import { Pool } from 'undici';
import { bodyOf, idOf } from '../source.ts';

// The upper bound of bulk writes: lanes that post prepared bodies of 500 records and ignore the answers.
const [url, count, lanes] = process.argv.slice(2) as [string, string, string];
const SIZE = 500;
const bodies = Array.from({ length: Number(count) / SIZE }, (_, batch) => {
  const records = Array.from(
    { length: SIZE },
    (_, n) => `{"id":"${idOf(batch * SIZE + n)}",${bodyOf(batch * SIZE + n).slice(1)}`,
  );
  return `[${records}]`;
});
const headers = { 'content-type': 'application/json', authorization: 'Bearer bench-token' };
const pool = new Pool(url, { connections: Number(lanes) });

const startedMs = performance.now();
const cpu = process.cpuUsage();
const rest = bodies.values();
const lane = async () => {
  for (const body of rest) {
    const answer = await pool.request({ method: 'POST', path: '/v1/models', headers, body });
    await answer.body.dump();
  }
};
await Promise.all(Array.from({ length: Number(lanes) }, lane));
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ durationMs: performance.now() - startedMs, cpuMs: (user + system) / 1000 }));
await pool.close();
