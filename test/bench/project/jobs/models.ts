import { defineJob } from '../../../../lib/job.ts';
import { authOfTarget, record, secret, settings, source } from '../record.ts';

/** Each record with a request of its own; the target is not read. */
export default defineJob({
  settings,
  secret,
  record,
  id: ({ id }) => id,
  updatedAt: ({ updatedAt }) => updatedAt,
  source: source(500),
  target: {
    auth: authOfTarget,
    write: ({ id, ...body }, { settings }) => ({
      method: 'PUT',
      path: `/v1/regions/${encodeURIComponent(settings.TARGET_REGION_ID)}/models/${encodeURIComponent(id)}`,
      body,
    }),
  },
});
