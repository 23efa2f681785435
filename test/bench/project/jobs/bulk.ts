import { defineJob } from '../../../../lib/job.ts';
import { authOfTarget, record, secret, settings, source } from '../record.ts';

/** 500 records a request. */
export default defineJob({
  settings,
  secret,
  record,
  id: ({ id }) => id,
  updatedAt: ({ updatedAt }) => updatedAt,
  source: source(500),
  target: {
    auth: authOfTarget,
    writeMany: { max: 500, request: (models) => ({ method: 'POST', path: '/v1/models', body: models }) },
  },
});
