import { TargetError } from '../errors.ts';
import type { HttpAnswer } from '../http/client.ts';
import type { Agent } from '../http/user-agent.ts';
import type { Request, TargetJob } from '../job-types.ts';
import { type Bulk, openBulk } from './bulk.ts';
import type { Held } from './held.ts';
import { isNothingThere } from './judged.ts';
import { pushRecord } from './push.ts';
import {
  contentOfRecord,
  numbered,
  placeOf,
  type RecordRequest,
  requestMaker,
  unmade,
  withMethod,
  writeOf,
} from './write-request.ts';

/** What is to be done with a record. */
export interface PreparedWrite {
  /** What it counts as once that is done; an unchanged one needs nothing. */
  as: 'written' | 'removed' | 'unchanged';
  /**
   * Sends it with a request of its own; called at most once. Resolves to false where there was nothing to remove. Undefined where
   * it goes into a batch, or nothing is to be sent.
   */
  write?: (() => Promise<unknown>) | undefined;
  /** About how many bytes it adds to a batch. */
  bytes?: number;
  /** A short hash of what is written, where that is known before. */
  content(): string | undefined;
}

export interface Writes<R> {
  /**
   * Prepares what is to be done with a record. Its write resolves once the target has answered 2xx and the answer is read. It
   * rejects with TargetError for a record that the target refuses, that no attempt got through, or of which the job makes no
   * request: that record has failed. Anything else it rejects with concerns the run.
   * @throws what the job's `deleted` or `id` throws
   */
  prepare(record: R): PreparedWrite;
  /** Prepares the removal of the record with this id, which the source no longer has. */
  remove(id: string): PreparedWrite;
  /** How records are written that have no request of their own. */
  bulk: Bulk<R> | undefined;
}

/** Tells a version of a record from the same one before another one. */
export interface Changes {
  /** How often the record has changed within the pass, where this content of it is written now. */
  countOf(id: string, content: string): number;
}

/** What a record's requests are made of. */
export interface Writing<R> {
  id: (record: R) => string;
  /** Whether a record is a tombstone. */
  deleted?: ((record: R) => boolean) | undefined;
  /** The name of the pass: what a later run of it writes again has the same key. */
  passName: () => string;
  /** When the record changed. */
  updatedAtMs?: ((record: R) => number) | undefined;
  changes?: Changes | undefined;
  /** The job's own settings. */
  settings: unknown;
}

/** A record that is to go, and when its tombstone is from. */
interface Removal {
  id: string;
  atMs: number | undefined;
}

/** Sends one request of a record. @param removes that the record is gone by an answer 404 or 410 as well */
type Call = (request: RecordRequest, removes?: boolean) => Promise<HttpAnswer>;

/** Makes the writes of a job, each by `call`. */
export function writesOf<R>(
  job: TargetJob<R>,
  { id, deleted, passName, updatedAtMs, changes, settings }: Writing<R>,
  by: {
    fence: { token: string; scope: string };
    agent: Agent | undefined;
    call: Call;
    /** What the target held when the pass began; without it every record is written. */
    held: Held | undefined;
    /** Aborts when what is in flight must stop. */
    signal: AbortSignal;
    /** What no error may show. */
    secret: () => unknown;
  },
): Writes<R> {
  const { fence, agent, call, held, signal, secret } = by;
  const making = { passName, fence, agent, headers: job.headers };
  const context = { settings, fencingToken: fence.token, fencingScope: fence.scope };
  const requestFor = requestMaker({ ...making, id, updatedAtMs });
  const removalFor = requestMaker<Removal>({ ...making, id: ({ id }) => id, updatedAtMs: ({ atMs }) => atMs });
  const bulk =
    job.writeMany &&
    openBulk<R>(job.writeMany, {
      ...{ context, call, secret },
      requestFor: requestMaker<R[]>({ ...making, id: () => 'batch' }),
      changesOf,
    });
  const whole = job.push ? pushed : bulk ? batched : alone;
  return {
    prepare: (record) => (isTombstone(record) ? remove(id(record), updatedAtMs?.(record)) : whole(record)),
    remove: (id) => remove(id),
    bulk,
  };

  function isTombstone(record: R): boolean {
    const said: unknown = deleted?.(record);
    // A promise is true, whatever it promises: every record would be removed.
    if (said instanceof Promise) throw new TypeError('deleted of the job gave a promise');
    return Boolean(said);
  }

  /** Asked when it is written, because only then is the content the last one of its id. */
  function changesOf(id: string, content: string): number {
    return changes?.countOf(id, content) ?? 0;
  }

  function alone(record: R): PreparedWrite {
    let request: Request;
    try {
      request = writeOf(job, record, context);
    } catch (cause) {
      held?.seen(id(record));
      return failing(unmade(cause));
    }
    if (held?.isSame(id(record), request.body)) return unchanged(() => requestFor(record, () => request).content);
    return sending('written', id(record), () => requestFor(record, () => request));
  }

  function batched(record: R): PreparedWrite {
    if (held?.isSame(id(record), record)) return unchanged(unknown);
    return { as: 'written', bytes: bulk!.bytesOf(record), content: onceHashed(record) };
  }

  function pushed(record: R): PreparedWrite {
    if (held?.isSame(id(record), record)) return unchanged(unknown);
    const push: NonNullable<typeof job.push> = (given, to) => job.push!(given, to);
    const write = () => {
      const count = changesOf(id(record), contentOfRecord(record));
      return pushRecord(push, record, { ...context, signal }, (request) =>
        call(numbered(requestFor(record, () => request, placeOf(request)).request, count)),
      );
    };
    return { as: 'written', write, content: unknown };
  }

  function remove(id: string, atMs?: number): PreparedWrite {
    held?.seen(id);
    // What the target does not hold is removed.
    if (held && !held.holds(id)) return unchanged(unknown);
    return sending('removed', id, () => removalFor({ id, atMs }, () => removalOf(job, id, context), REMOVES));
  }

  function sending(
    as: 'written' | 'removed',
    id: string,
    make: () => { request: RecordRequest; content: string },
  ): PreparedWrite {
    try {
      const { request, content } = make();
      const sent = () => call(numbered(request, changesOf(id, content)), as === 'removed');
      return { as, write: as === 'removed' ? () => sent().then(hasRemoved) : sent, content: () => content };
    } catch (error) {
      if (error instanceof TargetError) return failing(error);
      throw error;
    }
  }
}

const hasRemoved = ({ status }: HttpAnswer) => !isNothingThere(status);

/** A removal may have the same body as a write, and must not have its key. */
const REMOVES = 'removes\n';

const unchanged = (content: () => string | undefined): PreparedWrite => ({ as: 'unchanged', content });
const unknown = () => undefined;

/** A batch asks for the hash, and whoever remembers versions may as well. */
function onceHashed(record: unknown): () => string {
  let hash: string | undefined;
  return () => {
    hash ??= contentOfRecord(record);
    return hash;
  };
}

const failing = (error: TargetError): PreparedWrite => ({
  as: 'written',
  write: () => Promise.reject(error),
  content: unknown,
});

function removalOf<R>(job: TargetJob<R>, id: string, context: Parameters<NonNullable<typeof job.remove>>[1]): Request {
  if (!job.remove) throw new TypeError('the job has no target.remove');
  return withMethod('target.remove', job.remove(id, context));
}
