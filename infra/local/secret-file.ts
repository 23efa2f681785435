import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Job } from '../../lib/job-types.ts';
import { parseSecret } from '../../lib/settings/secrets.ts';

/** Where a job's secret for this machine is; git ignores the folder. */
const pathOf = (job: string) => `.secrets/${job}.json`;

/** Whether there is a secret for this machine. */
export const hasSecretFile = (root: string, job: string): boolean => existsSync(join(root, pathOf(job)));

/**
 * Reads a job's secret for this machine and checks it like the real one.
 * @returns its text @throws Error that names the file
 */
export async function readSecretFile(root: string, job: Job<unknown>): Promise<string> {
  const path = pathOf(job.name);
  const text = await readFile(join(root, path), 'utf8').catch((cause: Error) => {
    throw new Error(
      `${path} cannot be read (${(cause as NodeJS.ErrnoException).code}): write the secret of the job for this machine ` +
        'into it, as JSON, such as {"source": {…}}, or {} if it needs none; git ignores the folder',
      { cause },
    );
  });
  await parseSecret(path, text, job);
  return text;
}
