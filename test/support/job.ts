import models from '../../infra/local/demo/jobs/models.ts';

const { list: _list, existing: _existing, ...target } = models.target;

/**
 * The job that the tests of `lib` run: the demo's, because what an adopter does under `functions/jobs` changes nothing here. It
 * does not list its target, so a full pass writes everything.
 */
export const job = { ...models, target, name: 'models' };

/** The same job, which writes in a full pass only what differs. */
export const comparingJob = { ...models, name: 'models' };
