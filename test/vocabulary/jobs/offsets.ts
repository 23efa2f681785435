import * as v from 'valibot';
import { defineJob, offsetPages } from '../../../lib/job.ts';

/** A catalogue without credentials, by offset and with a total, to a service that takes XML. */
export default defineJob({
  record: v.object({ sku: v.string(), stock: v.number() }),
  id: (item) => item.sku,
  source: { list: offsetPages({ path: '/stock', records: 'items', size: 2, total: 'meta.total' }) },
  target: {
    headers: { 'Content-Type': 'application/xml' },
    write: ({ sku, stock }) => ({ method: 'PUT', path: '/stock', query: { sku }, body: `<stock>${stock}</stock>` }),
  },
});
