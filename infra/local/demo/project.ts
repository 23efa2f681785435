import { join } from 'node:path';
import type { Parts } from '../../bundle/artifact.ts';

/**
 * The project of `npm start` and of the tests: the demo's job, in a stage `dev` of its own. What a user changes in
 * `functions/jobs`, `infra/config` and `serverless.yml` does not touch it.
 */
export const demoProject = {
  jobs: join(import.meta.dirname, 'jobs'),
  config: join(import.meta.dirname, 'config'),
  service: 'solotick',
  region: 'us-east-1',
} satisfies Parts;
