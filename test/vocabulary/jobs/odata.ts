import * as v from 'valibot';
import { basic, defineJob, urlPages } from '../../../lib/job.ts';

/** The orders of an OData service. */
export default defineJob({
  secret: v.object({ user: v.string(), password: v.string() }),
  record: v.object({ OrderID: v.number(), Total: v.number(), Modified: v.string() }),
  id: (order) => order.OrderID,
  updatedAt: (order) => order.Modified,
  source: {
    auth: ({ secret }) => basic(secret.user, secret.password),
    list: urlPages({
      path: '/Orders',
      query: ({ since }) => ({ $filter: since && `Modified ge ${since}`, $orderby: 'Modified' }),
      records: 'value',
      next: '@odata.nextLink',
    }),
    one: (id) => `/Orders(${id})`,
  },
  target: {
    auth: ({ secret }) => basic(secret.user, secret.password),
    write: (order) => ({ method: 'PUT', path: `/orders/${order.OrderID}`, body: order }),
  },
});
