export { default } from '../../../../infra/local/demo/jobs/models.ts';
