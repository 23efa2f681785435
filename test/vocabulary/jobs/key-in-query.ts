import * as v from 'valibot';
import { apiKey, defineJob, numberedPages } from '../../../lib/job.ts';

/** The weather at stations, both sides with a key in a parameter. */
export default defineJob({
  secret: v.object({ key: v.string() }),
  record: v.object({ station: v.string(), celsius: v.number() }),
  id: (report) => report.station,
  source: {
    auth: ({ secret }) => apiKey({ query: 'appid', value: secret.key }),
    list: numberedPages({ path: '/reports', records: 'list', size: 2, first: 0, params: { size: 'cnt' } }),
    one: (id) => `/reports/${id}`,
  },
  target: {
    auth: ({ secret }) => apiKey({ query: 'api_key', value: secret.key }),
    write: (report) => ({ method: 'POST', path: '/reports', body: report }),
  },
});
