import models from '../../infra/local/demo/jobs/models.ts';

/** The job that the tests of `lib` run: the demo's, because what an adopter does under `functions/jobs` changes nothing here. */
export const job = { ...models, name: 'models' };
