import type { StreamFormat } from '../../lib/read/json-records.ts';
import { streamPages } from '../../lib/read/stream-pages.ts';
import { listSource } from './listed-source.ts';

// Reads the stream at the URL given and prints how many records it has.
const [url = '', format] = process.argv.slice(2);
await using listed = await listSource(
  streamPages({ path: '/', query: () => ({}), format: format as StreamFormat }),
  url,
);
let records = 0;
for await (const page of listed.source.pages({}, null)) records += page.records.length;
console.log(records);
