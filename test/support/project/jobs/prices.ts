import * as v from 'valibot';
import { bearer, cursorPages, defineJob } from '../../../../lib/job.ts';

/** The second job of the tests: the models again, as price tags with numeric ids, under other credentials. */
export default defineJob({
  secret: v.strictObject({ key: v.string() }),
  record: v.object({ id: v.number(), price: v.number() }),
  id: ({ id }) => id,
  source: {
    auth: ({ secret }) => bearer(secret.key),
    list: cursorPages({ path: '/prices', query: () => ({}), records: 'prices', next: 'next' }),
  },
  target: {
    auth: ({ secret }) => bearer(secret.key),
    write: ({ id, price }) => ({ method: 'PUT', path: `/prices/${id}`, body: { price } }),
  },
});
