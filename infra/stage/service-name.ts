import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { StageError } from './stage-error.ts';

const FILE = 'serverless.yml';

/** The service's name, with which all names in AWS begin. @throws StageError */
export async function serviceName(project: string): Promise<string> {
  const { service } = Object(parse(await readFile(join(project, FILE), 'utf8')));
  if (typeof service === 'string' && /^[A-Za-z][A-Za-z0-9-]*$/.test(service)) return service;
  throw new StageError(FILE, ['service must be a name of letters, digits and hyphens, beginning with a letter']);
}
