import { defineJob } from '../../../../lib/job.ts';
import { authOfTarget, type Model, pages, record, secret, settings, source } from '../record.ts';

/** What is at the target already is not written. */
export default defineJob({
  settings,
  secret,
  record,
  id: ({ id }) => id,
  updatedAt: ({ updatedAt }) => updatedAt,
  source: source(5000),
  target: {
    auth: authOfTarget,
    write: ({ id, ...body }) => ({ method: 'PUT', path: `/v1/models/${encodeURIComponent(id)}`, body }),
    list: pages(5000),
    existing(raw) {
      const { id, ...body } = raw as Model;
      return { id, body };
    },
  },
});
