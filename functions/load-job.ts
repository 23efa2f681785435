import { isDefined } from '../lib/define-job.ts';
import { JobError, SettingsError } from '../lib/errors.ts';
import type { Job } from '../lib/job-types.ts';

/** The file's name is a part of names in AWS, in etcd and in URLs. */
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

/**
 * Loads `functions/jobs/<name>.ts`, and no other job: esbuild makes a chunk of each file that the import below can name, and
 * the one that the environment variable JOB names is read from disk. So all functions share one artifact and its chunks,
 * whatever jobs there are.
 * @throws SettingsError where there is no such file, JobError where it says what cannot be
 */
export async function loadJob(name = ''): Promise<Job<unknown>> {
  if (!NAME.test(name)) {
    throw new SettingsError(
      `JOB must be the name of a file in functions/jobs, such as models, not ${JSON.stringify(name)}`,
    );
  }
  const file = fileOf(name);
  let module: { default?: unknown };
  try {
    module = await import(`./jobs/${name}.ts`);
  } catch (error) {
    if (error instanceof JobError) throw inItsFile(name, error);
    const { code, message } = error as { code?: string; message?: string };
    const isAbsent = code === 'ERR_MODULE_NOT_FOUND' || message?.startsWith('Module not found in bundle');
    if (!isAbsent) throw error;
    throw new SettingsError(`JOB is ${name}, but ${file} cannot be loaded`, { cause: error });
  }
  if (!isDefined(module.default)) throw new JobError(`${file} must say: export default defineJob({ … })`);
  return { ...module.default, name };
}

const fileOf = (name: string) => `functions/jobs/${name}.ts`;

/** Where the fault of a job is not found before a run asks it, such as that of an authorization, the error names its file as well. */
export function inItsFile<E>(name: string, error: E): E | JobError {
  const file = fileOf(name);
  if (!(error instanceof JobError) || error.message.startsWith(file)) return error;
  return new JobError(`${file}: ${error.message}`, { cause: error });
}
