import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Resources } from './resources.ts';

/** Reads a template of this folder. */
export async function template<T = { Resources: Resources }>(name: string): Promise<T> {
  return parse(await readFile(join(import.meta.dirname, name), 'utf8'));
}

/** Reads the resources of some templates of this folder, together. */
export async function resourcesOf(...names: string[]): Promise<Resources> {
  const templates = await Promise.all(names.map((name) => template(name)));
  return Object.assign({}, ...templates.map(({ Resources: resources }) => resources));
}
