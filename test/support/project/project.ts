import { join } from 'node:path';
import type { Parts } from '../../../infra/bundle/artifact.ts';

/**
 * What the tests of `infra` package and deploy: jobs, stages and a name of the service of their own, so that no change under
 * `functions/jobs` and `infra/config` is a change for them.
 */
export const testProject = {
  jobs: join(import.meta.dirname, 'jobs'),
  config: join(import.meta.dirname, 'config'),
  service: 'solotick',
  region: 'us-east-1',
} satisfies Parts;
