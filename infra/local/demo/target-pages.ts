const MAX_LIMIT = 1000;

/**
 * A page of what is stored, ordered by id: a cursor is the last id of the page before, so that what is removed meanwhile moves
 * nothing to another page. Undefined for a malformed query.
 */
export function pageOf(models: ReadonlyMap<string, unknown>, query: URLSearchParams) {
  const limit = Number(query.get('limit') || 100);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) return undefined;
  const after = Buffer.from(query.get('cursor') ?? '', 'base64url').toString();
  const ids = [...models.keys()].filter((id) => id > after).sort();
  const last = ids.length > limit ? ids[limit - 1] : undefined;
  return {
    models: ids.slice(0, limit).map((id) => ({ id, ...Object(models.get(id)) })),
    nextCursor: last === undefined ? null : Buffer.from(last).toString('base64url'),
  };
}
