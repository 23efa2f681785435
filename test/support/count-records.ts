import type { StreamFormat } from '../../lib/json-records.ts';
import { streamPages } from '../../lib/stream-pages.ts';
import { listSource } from './listed-source.ts';

// Reads the stream at the URL given and prints how many records it has, with the largest heap seen.
const [url = '', format] = process.argv.slice(2);
await using listed = await listSource(
  streamPages({ path: '/', query: () => ({}), format: format as StreamFormat }),
  url,
);
let records = 0;
let peakHeapBytes = 0;
for await (const page of listed.source.pages({}, null)) {
  records += page.records.length;
  peakHeapBytes = Math.max(peakHeapBytes, process.memoryUsage().heapUsed);
}
console.log(JSON.stringify({ records, peakHeapBytes }));
