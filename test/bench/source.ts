import { answer, type Served, serve } from '../../infra/local/serve.ts';

/** The first path segment is the number of records, so that one server has lists of any length. */
const PATH = /^\/(\d+)\/v1\/models\?(.*)$/;

/** A source whose pages cost almost nothing: record n is the same in every list. */
export function startSource(): Promise<Served> {
  return serve((request, response) => {
    const [, count, query] = PATH.exec(request.url ?? '') ?? [];
    if (count === undefined) return answer(response, 404, {});
    response.writeHead(200, { 'content-type': 'application/json' }).end(pageOf(Number(count), `?${query}`));
  });
}

/** A page of a list of `count` records, by the cursor and the limit in `path`. */
export function pageOf(count: number, path: string): string {
  const parameters = new URLSearchParams(path.slice(path.indexOf('?')));
  const first = Number(parameters.get('cursor') ?? 0);
  const end = Math.min(first + Number(parameters.get('limit')), count);
  const records = Array.from({ length: end - first }, (_, index) => record(first + index));
  return `{"models":[${records.join()}],"nextCursor":${end < count ? `"${end}"` : 'null'}}`;
}

const record = (n: number) => `{"id":"${idOf(n)}",${fields(n)}}`;

/** The id of record n. */
export const idOf = (n: number) => `acme/model-${n}`;

/** The body of record n's write. */
export const bodyOf = (n: number) => `{${fields(n)}}`;

const fields = (n: number) =>
  `"name":"Model ${n} of acme","updatedAt":"2026-01-01T00:00:00.000Z","limit":{"context":${n},"output":8192},"cost":{"input":3,"output":15}`;
