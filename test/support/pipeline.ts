import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { answer, bodyOf, type Served, serve } from '../../infra/local/serve.ts';
import { countingChanges } from '../../lib/copy/changes.ts';
import type { Acceptance } from '../../lib/engine/accept.ts';
import type { Ending } from '../../lib/engine/ending.ts';
import { type SyncOptions, sync } from '../../lib/engine/engine.ts';
import type { TargetJob } from '../../lib/job-types.ts';
import { openSource } from '../../lib/read/source.ts';
import { newReport, type Problem, type SettledPage } from '../../lib/report.ts';
import { openCredentials, type Secret } from '../../lib/settings/secrets.ts';
import type { Pass } from '../../lib/state/schemas.ts';
import { openTarget } from '../../lib/write/target.ts';
import { job } from './job.ts';

/** A record of the shipped job. */
export const record = (id: string, name = `name of ${id}`) => ({
  ...{ id, name, updatedAt: '2026-01-01T00:00:00.000Z', limit: { context: 1, output: 1 } },
});

export const records = (count: number, first = 0) =>
  Array.from({ length: count }, (_, index) => record(`model-${first + index}`));

/** `list` in pages of `size`. */
export const pagesOf = <T>(list: T[], size: number) =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, page) => list.slice(page * size, (page + 1) * size));

/** A source that serves these pages; each page's cursor is its number. `before` may send an answer of its own. */
export async function servePages(
  pages: unknown[][],
  before: (page: number, response: ServerResponse) => Promise<void> | void = () => {},
) {
  const served: number[] = [];
  const server = await serve(async (request, response) => {
    const page = Number(new URL(request.url ?? '', 'http://source').searchParams.get('cursor') ?? 0);
    served.push(page);
    await before(page, response);
    if (response.writableEnded || response.destroyed) return;
    answer(response, 200, { models: pages[page], nextCursor: page + 1 < pages.length ? String(page + 1) : null });
  });
  return Object.assign(server, { served });
}

/** A write as it arrived. */
export interface Arrival {
  id: string;
  /** The path on the wire. */
  path: string;
  authorization: string;
  body: { name: string };
  /** 1 for the first request of this id. */
  attempt: number;
}

export interface Target extends Served {
  arrivals: Arrival[];
  /** What the accepted writes stored: names by id. */
  stored: Map<string, string>;
  inFlight: number;
  peakInFlight: number;
}

/** A target that accepts every write after `before`, which may send an answer of its own. */
export async function serveTarget(
  before: (arrival: Arrival, response: ServerResponse) => Promise<void> | void = () => {},
): Promise<Target> {
  const attempts = new Map<string, number>();
  const state = { arrivals: [] as Arrival[], stored: new Map<string, string>(), inFlight: 0, peakInFlight: 0 };
  const server = await serve(async (request, response) => {
    state.peakInFlight = Math.max(state.peakInFlight, ++state.inFlight);
    let here = true;
    // A request leaves just before its answer ends or breaks off, because the client goes on then, or when the client
    // gives up.
    const leave = () => {
      if (here) state.inFlight--;
      here = false;
    };
    response.once('close', leave);
    const path = request.url ?? '';
    const body = JSON.parse(await bodyOf(request));
    const id = decodeURIComponent(path.split('/').at(-1) ?? '');
    const attempt = (attempts.get(id) ?? 0) + 1;
    attempts.set(id, attempt);
    const arrival = { id, path, authorization: String(request.headers.authorization), body, attempt };
    state.arrivals.push(arrival);
    const writeHead = response.writeHead;
    response.writeHead = ((...head: Parameters<typeof writeHead>) => {
      leave();
      return writeHead.apply(response, head);
    }) as typeof writeHead;
    await before(arrival, response);
    if (response.destroyed) leave();
    if (response.writableEnded || response.destroyed || response.headersSent) return;
    state.stored.set(id, body.name);
    answer(response, 200, {});
  });
  return Object.assign(state, server);
}

/** Waits until `condition` holds. @throws after a minute, so that a test that hangs ends */
export async function until(condition: () => boolean) {
  const giveUpAtMs = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > giveUpAtMs) throw new Error(`${condition} did not come true`);
    await sleep(5);
  }
}

const ownSecret = (version: number) => ({
  source: { username: 'reader', password: `password-${version}` },
  target: { token: `token-${version}` },
});

/** What the secret of the tests' job holds beside lib's own parts. */
export type OwnSecret = ReturnType<typeof ownSecret>;

export const tokenOf = ({ own }: { own: unknown }) => (own as OwnSecret).target.token;

/** A version of the secret whose passwords and tokens end in its number. */
export const secretVersion = (version: number) => ({
  secret: { etcd: {}, own: ownSecret(version) } as Secret,
  versionId: String(version),
  readAtMs: 0,
});

/** A store that gives these versions, one for each reading, and from then on the last one. */
export function secretStoreOf(...versions: number[]) {
  const store = {
    readings: 0,
    read: async () => secretVersion(versions[0]!),
    readAgain: async () => secretVersion(versions[Math.min(++store.readings, versions.length - 1)]!),
  };
  return store;
}

/** The data path of a run, assembled as a run does it, with everything that a test may inspect or change. */
export async function pipeline(options: {
  source: Served;
  target: Served;
  /** Where the list begins. */
  cursor?: string | null;
  concurrency?: number;
  timeoutMs?: number;
  store?: ReturnType<typeof secretStoreOf>;
  check?: () => void;
  refused?: () => Promise<Error>;
  failuresBeforeStop?: number;
  sync?: Partial<SyncOptions<ReturnType<typeof record>>>;
  /** What is done about a record beside counting it. */
  outcomes?: Partial<SyncOptions<ReturnType<typeof record>>['outcomes']>;
  schema?: Acceptance<ReturnType<typeof record>>['schema'];
  /** How the job writes, instead of one record at a time. */
  writes?: TargetJob<ReturnType<typeof record>>;
  deleted?: (model: ReturnType<typeof record>) => boolean;
}) {
  const { concurrency = 50, timeoutMs = 60_000 } = options;
  const closing = new AbortController();
  const cut = new AbortController();
  const guard = {
    check: options.check ?? (() => {}),
    closing: closing.signal,
    closesInMs: () => 60_000,
    signal: cut.signal,
  };
  await using stack = new AsyncDisposableStack();
  const credentials = await openCredentials(options.store ?? secretStoreOf(1), cut.signal);
  const shared = { timeoutMs, credentials, guard };
  const source = stack.use(openSource(job.source, { url: options.source.url, ...shared }));
  const fence = { token: '7', scope: '/lock', refused: options.refused ?? (async () => new Error('fenced')) };
  const changes = options.deleted && countingChanges({ current: () => ({}) as Pass, changed() {} });
  const server = { url: options.target.url, ...shared, concurrency, perSecond: undefined };
  const target = stack.use(
    openTarget(
      options.writes ? { auth: job.target.auth as never, ...options.writes } : job.target,
      { id: job.id, passName: () => 'run-1', settings: { TARGET_REGION_ID: 'eu' }, deleted: options.deleted, changes },
      fence,
      server,
    ),
  );
  const { bulk } = target;
  const report = newReport();
  const problems: Problem[] = [];
  const settled: SettledPage[] = [];
  const failed: string[] = [];
  const owned = stack.move();
  return {
    ...{ closing, cut, report, problems, settled, failed },
    run: (): Promise<Ending> =>
      sync({
        pages: source.pages({}, options.cursor ?? null),
        accept: { schema: options.schema ?? job.record, id: job.id, prepare: target.prepare },
        ...{ concurrency, pace: target.pace, closing, report },
        batches: bulk,
        outcomes: {
          done: options.outcomes?.done ?? (() => undefined),
          invalid(...[id, reason, raw]) {
            problems.push({ id, kind: 'invalid', reason });
            return options.outcomes?.invalid?.(id, reason, raw);
          },
          failed(...[id, reason, record, refused]) {
            problems.push({ id, kind: 'failed', reason });
            failed.push(id);
            options.outcomes?.failed?.(id, reason, record, refused);
          },
        },
        pageSettled: (page: SettledPage) => settled.push(page),
        failuresBeforeStop: options.failuresBeforeStop ?? 1000,
        ...options.sync,
      }),
    /** The counts that have to add up. */
    counts() {
      const { read, written, invalid, failed, unsettled } = report;
      return { read, written, invalid, failed, unsettled };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
