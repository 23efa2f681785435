import { defineJob } from '../../../../lib/job.ts';
import { authOfTarget, common, source } from '../record.ts';

/** 500 records a request. */
export default defineJob({
  ...common,
  source: source(500),
  target: {
    auth: authOfTarget,
    writeMany: { max: 500, request: (models) => ({ method: 'POST', path: '/v1/models', body: models }) },
  },
});
