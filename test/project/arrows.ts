import { posix } from 'node:path';
import type { File } from './source-files.ts';

export const FOLDERS = ['functions', 'lib', 'infra'];

/** The files of one room import files of another: from where, in the order of the files. */
export type Arrow = { from: string; to: string; imports: string[] };

/** The folder directly below `lib` or `infra` that holds a file. */
export function roomOf(path: string): string {
  const [top = '', first] = path.split('/').slice(0, -1);
  // What a job imports lies above the rooms that it opens; the other files of lib lie below all rooms.
  if (path === 'lib/job.ts') return 'job';
  if (top === 'lib') return first ?? 'vocabulary';
  if (top !== 'infra') return top;
  return `infra/${first ?? 'plugins'}`;
}

export function arrowsBetween(files: File[]): Arrow[] {
  const arrows = new Map<string, Arrow>();
  for (const { path, line, target } of relativeImports(files)) {
    const [from, to] = [roomOf(path), roomOf(target)];
    if (from === to || !FOLDERS.includes(folderOf(target))) continue;
    const arrow = arrows.get(`${from} ${to}`) ?? { from, to, imports: [] };
    arrow.imports.push(`${path}:${line}`);
    arrows.set(`${from} ${to}`, arrow);
  }
  return [...arrows.values()].sort((a, b) => (a.from === b.from ? (a.to < b.to ? -1 : 1) : a.from < b.from ? -1 : 1));
}

/** The imports of files of this repository, not of packages. */
export function* relativeImports(files: File[]) {
  for (const { path, imports } of files) {
    for (const { specifier, line } of imports) {
      if (specifier.startsWith('.')) yield { path, line, target: posix.join(posix.dirname(path), specifier) };
    }
  }
}

/** `functions`, `lib`, `infra` or `test`. */
export const folderOf = (path: string) => path.split('/')[0]!;

/** The rooms from one to another over the fewest arrows, both included. */
export function shortestWay(arrows: Arrow[], start: string, end: string): string[] | undefined {
  const ways = [[start]];
  const seen = new Set([start]);
  for (const way of ways) {
    if (way.at(-1) === end) return way;
    for (const { from, to } of arrows) {
      if (from !== way.at(-1) || seen.has(to)) continue;
      seen.add(to);
      ways.push([...way, to]);
    }
  }
  return undefined;
}
