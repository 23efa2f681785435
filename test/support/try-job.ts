import { answer, bodyOf, serve } from '../../infra/local/serve.ts';
import { copy } from '../../lib/copy/copy.ts';
import type { DefinedJob } from '../../lib/define-job.ts';
import type { Log } from '../../lib/log.ts';
import { newReport, type Problem, type Report } from '../../lib/report.ts';
import { readSettings } from '../../lib/settings/config.ts';
import { openCredentials, parseSecret } from '../../lib/settings/secrets.ts';
import { nameOfShard } from '../../lib/shard.ts';
import { beginPass } from '../../lib/state/pass.ts';
import { openPass } from '../../lib/state/pass-under-way.ts';
import { setDeadline } from '../../lib/time/deadline.ts';

/** A request as it came over the wire; `path` includes the query, and a body that is JSON is parsed. */
export interface TriedRequest {
  method: string;
  path: string;
  headers: Record<string, string | string[] | undefined>;
  body: unknown;
}

/** What a server answers: 200 and `{}` where it is left out. Text is sent as it is, everything else as JSON. */
export interface TriedAnswer {
  status?: number;
  headers?: Record<string, string>;
  body?: unknown;
}

/** One answer after the other, or what to answer to each request. */
type Answers = TriedAnswer[] | ((request: TriedRequest) => TriedAnswer);

interface Trial {
  /** The job's own settings, and any others. */
  settings?: Record<string, string>;
  /** The job's parts of the secret. */
  secret?: object;
  /** What the source answers. */
  source: Answers;
  /** What the target answers; by default, it takes everything. */
  target?: Answers;
  /** The window that is read; by default, everything. */
  since?: string;
  until?: string;
  /** Reads these records instead of the list. */
  ids?: string[];
}

/** What a job did. */
export interface Tried {
  /** Every request to the source, in order. */
  reads: TriedRequest[];
  /** Every request to the target, in order. */
  writes: TriedRequest[];
  report: Report;
  /** The records that were not written, and why. */
  problems: Problem[];
}

/**
 * Tries a job without its servers: copies what these answers list, one record at a time, with no lock and no state. Everything
 * between the job and the wire is the real thing.
 * @throws what a run throws, and an Error if a server is asked more often than there are answers
 */
export async function tryJob(defined: DefinedJob<unknown>, trial: Trial): Promise<Tried> {
  const job = { ...defined, name: 'tried' };
  await using source = await serveAnswers('source', trial.source);
  await using target = await serveAnswers('target', trial.target ?? (() => ({})));
  const settings = readSettings(
    {
      ...{ STAGE: 'test', SECRET_ID: 'test', ETCD_ENDPOINTS: 'http://127.0.0.1:1' },
      ...{ ...trial.settings, SOURCE_URL: source.url, TARGET_URL: target.url },
    },
    job,
  );
  const stop = new AbortController();
  using deadline = setDeadline({ remainingMs: 600_000, reserveSeconds: 1, stop: stop.signal });
  const secret = await parseSecret('of the trial', JSON.stringify(trial.secret ?? {}), job);
  const version = { secret, versionId: '1', readAtMs: 0 };
  const store = { read: async () => version, readAgain: async () => version };
  const report = newReport();
  const problems: Problem[] = [];
  const { since, until, ids } = trial;
  const window = { since: utc(since), until: utc(until), full: false };
  const identity = { sourceUrl: source.url, style: 'trial', shard: nameOfShard(undefined) };
  const begun = beginPass(identity, window, { runId: 'trial', startedAt: new Date().toISOString() });
  const note = (problem: Problem) => void problems.push(problem);
  const copied = copy({
    ...{ job, runId: 'trial', settings, concurrency: 1, shard: undefined, ids, failedBefore: [], report, log: quiet },
    credentials: await openCredentials(store, stop.signal),
    pass: openPass(begun, settings.watermarkOverlapSeconds),
    fence: { token: '1', scope: '/trial/lock', refused: async () => new Error('the target answered 412') },
    stops: { check() {}, deadline },
    outcomes: {
      done() {},
      notRemoved() {},
      invalid(id, reason) {
        note({ id, kind: 'invalid', reason });
        return undefined;
      },
      failed: (id, reason) => note({ id, kind: 'failed', reason }),
      unreadable: (id, reason) => note({ id, kind: 'failed', reason }),
      missing: (id) => note({ id, kind: 'missing', reason: 'the source knows no record of this id' }),
    },
    pageSettled() {},
  });
  await copied.finally(() => {
    for (const { faults } of [source, target]) if (faults.length > 0) throw new Error(faults.join('; '));
  });
  return { reads: source.requests, writes: target.requests, report, problems };
}

const quiet: Log = { info() {}, warn() {}, error() {}, appendKeys() {} };

const utc = (instant: string | undefined) => (instant === undefined ? undefined : new Date(instant).toISOString());

async function serveAnswers(name: string, answers: Answers) {
  const requests: TriedRequest[] = [];
  const faults: string[] = [];
  const served = await serve(async (incoming, response) => {
    const { method = '', url: path = '', headers } = incoming;
    const request = { method, path, headers, body: parsed(await bodyOf(incoming)) };
    requests.push(request);
    const given = Array.isArray(answers) ? answers[requests.length - 1] : answers(request);
    if (!given) faults.push(`the ${name} was asked ${requests.length} times: ${method} ${path} has no answer`);
    // A status that nobody tries again.
    const { status = 200, body = {}, headers: more = {} } = given ?? { status: 501 };
    if (typeof body === 'string') response.writeHead(status, more).end(body);
    else answer(response, status, body, more);
  });
  return { ...served, requests, faults };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
