import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the jobs of a project are. */
export const JOBS_FOLDER = 'functions/jobs';

/** Lists the jobs of a project: a file each, whose name is the job's. @returns their paths by name */
export async function jobFiles(project: string): Promise<Map<string, string>> {
  const folder = join(project, JOBS_FOLDER);
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const found = names.filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts') && !name.endsWith('.test.ts'));
  return new Map(found.sort().map((name) => [name.slice(0, -'.ts'.length), join(folder, name)]));
}
