import * as v from 'valibot';
import { apiKey, bearer, defineJob, linkPages } from '../../../lib/job.ts';

/** The issues of a repository, to a search index. */
export default defineJob({
  settings: v.object({ INDEX: v.string() }),
  secret: v.object({ token: v.string(), searchKey: v.string() }),
  record: v.object({ number: v.number(), title: v.string(), updated_at: v.string() }),
  id: (issue) => issue.number,
  updatedAt: (issue) => issue.updated_at,
  source: {
    auth: ({ secret }) => bearer(secret.token),
    headers: { Accept: 'application/vnd.github+json' },
    list: linkPages({ path: '/issues', query: ({ since }) => ({ since, state: 'all', per_page: 100 }) }),
    one: (id) => `/issues/${id}`,
  },
  target: {
    auth: ({ secret }) => apiKey({ header: 'X-Search-Key', value: secret.searchKey }),
    write: ({ number, ...issue }, { settings }) => ({
      method: 'PUT',
      path: `/indexes/${settings.INDEX}/documents/${number}`,
      body: issue,
    }),
  },
});
