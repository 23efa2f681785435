import * as v from 'valibot';
import { apiKey, bearer, cursorPages, defineJob } from '../../../lib/job.ts';

const PRODUCTS = 'query ($after: String, $filter: String) { products(after: $after, query: $filter) { … } }';

/** The products of a shop's GraphQL API. */
export default defineJob({
  secret: v.object({ shopKey: v.string(), feedToken: v.string() }),
  record: v.object({ id: v.string(), title: v.string(), updatedAt: v.string() }),
  id: (product) => product.id,
  updatedAt: (product) => product.updatedAt,
  source: {
    auth: ({ secret }) => apiKey({ header: 'X-Shop-Access-Token', value: secret.shopKey }),
    // An error comes as a 200, and most of them are about the rate.
    check: (answer) => (Object(answer.json()).errors ? 'retry' : undefined),
    list: cursorPages({
      path: '/graphql.json',
      body: (after, { since }) => ({
        query: PRODUCTS,
        variables: { after, filter: since && `updated_at:>='${since}'` },
      }),
      records: 'data.products.nodes',
      next: 'data.products.pageInfo.endCursor',
      more: 'data.products.pageInfo.hasNextPage',
    }),
    one: (id) => ({
      method: 'POST',
      path: '/graphql.json',
      body: { query: 'query ($id: ID!) { product(id: $id) { … } }', variables: { id } },
    }),
    oneRecord: 'data.product',
  },
  target: {
    auth: ({ secret }) => bearer(secret.feedToken),
    write: ({ id, ...product }) => ({ method: 'PUT', path: `/feed/${encodeURIComponent(id)}`, body: product }),
  },
});
