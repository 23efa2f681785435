import { defineJob } from '../../../../lib/job.ts';
import { authOfTarget, common, source } from '../record.ts';

/** Each record with a request of its own; the target is not read. */
export default defineJob({
  ...common,
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
