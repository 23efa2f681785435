import { SourceError } from '../errors.ts';

/**
 * Resolves a URL that a server has given at `path` to a path and query below its `baseUrl`: the credentials belong nowhere
 * else.
 * @throws SourceError when it leads elsewhere
 */
export function pathBelow({ name, baseUrl }: { name: string; baseUrl: string }, path: string, link: string): string {
  const base = new URL(baseUrl);
  const next = URL.parse(link, baseUrl + path);
  const basePath = base.pathname.replace(/\/$/, '');
  const below =
    next?.origin === base.origin && (next.pathname === basePath || next.pathname.startsWith(`${basePath}/`));
  if (!next || !below) {
    throw new SourceError(
      `the next page that ${path} names is not below the ${name}'s URL (${next?.origin ?? 'no URL'})`,
    );
  }
  return next.pathname.slice(basePath.length) + next.search;
}
