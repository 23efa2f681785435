import type { HttpAnswer } from '../http/client.ts';
import { withQuery } from '../http/request.ts';
import type { Request, TargetJob, WriteContext } from '../job-types.ts';
import type { Bulk } from './bulk.ts';
import { pushRecord } from './push.ts';
import { type MakeRequest, type RecordRequest, unmade, withMethod, writeOf } from './write-request.ts';

/** What is to be done with a record. */
export interface PreparedWrite {
  /** What it counts as once that is done; an unchanged one needs nothing. */
  as: 'written' | 'removed' | 'unchanged';
  /** Sends it with a request of its own; called at most once. Undefined where it goes into a batch, or nothing is to be sent. */
  write?: Write | undefined;
  /** About how many bytes it adds to a batch. */
  bytes?: number;
  /** A short hash of what is written, where that is known before. */
  content(): string | undefined;
}

/** Resolves once the target has answered 2xx and the answer is read. */
export type Write = () => Promise<unknown>;

/** What the target held when the pass began. */
export interface Held {
  /** Whether it held the record with this body; the record is seen then. */
  isSame(id: string, body: unknown): boolean;
  holds(id: string): boolean;
  /** The source has a record of this id, whatever it says. */
  seen(id: string): void;
}

/** Sends one request of a record. @param removes that the record is gone by an answer 404 or 410 as well */
export type Call = (request: RecordRequest, removes?: boolean) => Promise<HttpAnswer>;

/** What a record's requests are made of. */
export interface Preparing<R> {
  job: TargetJob<R>;
  id: (record: R) => string;
  /** Whether the record is a tombstone. */
  deleted: ((record: R) => boolean) | undefined;
  context: WriteContext<unknown>;
  requestFor: MakeRequest<R>;
  /** For a record of which only the id is known. */
  removalFor: MakeRequest<{ id: string }>;
  call: Call;
  /** Writes the records that have no request of their own. */
  bulk: Bulk<R> | undefined;
  held: Held | undefined;
  /** Aborts when what is in flight must stop. */
  signal: AbortSignal;
}

const unchanged = (content: () => string | undefined): PreparedWrite => ({ as: 'unchanged', content });
const unknown = () => undefined;

/**
 * Makes the function that prepares records.
 * @returns what throws only where the job's `deleted` or `id` does. A request that could not be made fails when it is sent.
 */
export function preparing<R>(options: Preparing<R>): (record: R) => PreparedWrite {
  const { job, id, deleted, context, requestFor, call, bulk, held, signal } = options;
  const whole = job.push ? pushed : bulk ? batched : alone;
  return (record) => (deleted?.(record) ? removing(options, id(record)) : whole(record));

  function alone(record: R): PreparedWrite {
    let request: Request;
    try {
      request = writeOf(job, record, context);
    } catch (cause) {
      held?.seen(id(record));
      return failing(unmade(cause));
    }
    if (held?.isSame(id(record), request.body)) return unchanged(() => requestFor(record, () => request).content);
    return sending('written', () => requestFor(record, () => request), call);
  }

  function batched(record: R): PreparedWrite {
    if (held?.isSame(id(record), record)) return unchanged(unknown);
    return { as: 'written', bytes: bulk!.bytesOf(record), content: unknown };
  }

  function pushed(record: R): PreparedWrite {
    if (held?.isSame(id(record), record)) return unchanged(unknown);
    const push: NonNullable<typeof job.push> = (given, to) => job.push!(given, to);
    const write = () =>
      pushRecord(push, record, { ...context, signal }, (request) => {
        const place = `${request.method} ${withQuery(request.path, request.query)}\n`;
        return call(requestFor(record, () => request, place).request);
      });
    return { as: 'written', write, content: unknown };
  }
}

/** Prepares the removal of a record. One that the target does not hold needs none. */
export function removing<R>(
  {
    job,
    context,
    removalFor,
    call,
    held,
  }: Pick<Preparing<R>, 'job' | 'context' | 'removalFor' | 'call'> & { held?: Held | undefined },
  id: string,
): PreparedWrite {
  held?.seen(id);
  if (held && !held.holds(id)) return unchanged(unknown);
  return sending(
    'removed',
    () => removalFor({ id }, () => removalOf(job, id, context)),
    (request) => call(request, true),
  );
}

function removalOf<R>(job: TargetJob<R>, id: string, context: WriteContext<unknown>): Request {
  if (!job.remove) throw new TypeError('the job has no target.remove');
  return withMethod('target.remove', job.remove(id, context));
}

function sending(
  as: 'written' | 'removed',
  make: () => { request: RecordRequest; content: string },
  call: (request: RecordRequest) => Promise<unknown>,
): PreparedWrite {
  try {
    const { request, content } = make();
    return { as, write: () => call(request), content: () => content };
  } catch (error) {
    return failing(error);
  }
}

const failing = (error: unknown): PreparedWrite => ({
  as: 'written',
  write: () => Promise.reject(error),
  content: unknown,
});
