import * as v from 'valibot';
import { cursorPages, defineJob, sigV4 } from '../../../lib/job.ts';

/** Things behind an API of our own on AWS, at both sides. */
export default defineJob({
  record: v.object({ id: v.string() }),
  id: (thing) => thing.id,
  source: {
    auth: () => sigV4({ service: 'execute-api', region: 'eu-west-1' }),
    list: cursorPages({ path: '/things', records: 'things', next: (_, headers) => headers['x-next']?.toString() }),
  },
  target: {
    auth: () => sigV4({ service: 'execute-api', region: 'us-east-1' }),
    write: (thing) => ({ method: 'PUT', path: `/things/${encodeURIComponent(thing.id)}`, body: thing }),
  },
});
