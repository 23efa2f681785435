import { defineJob } from '../../../../lib/job.ts';
import { authOfTarget, common, type Model, pages, source } from '../record.ts';

/** What is at the target already is not written. */
export default defineJob({
  ...common,
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
