import { JobError } from './errors.ts';
import type { Job, JobDefinition } from './job-types.ts';

/** A checked job that has no name yet: its file's name is. */
export type DefinedJob<R, S = unknown, X = unknown> = Omit<Job<R, S, X>, 'name'>;

type Kind = 'function' | 'schema' | 'object' | 'boolean' | 'selector';

/** Every key that a job may have, by its place, and what it holds. */
const KEYS: Record<'job' | 'source' | 'target', Record<string, Kind>> = {
  job: {
    ...{ settings: 'schema', secret: 'schema', record: 'schema', id: 'function', updatedAt: 'function' },
    ...{ source: 'object', target: 'object' },
  },
  source: {
    ...{ auth: 'function', headers: 'object', check: 'function', list: 'function', sharded: 'boolean' },
    ...{ one: 'function', oneRecord: 'selector' },
  },
  target: { auth: 'function', headers: 'object', check: 'function', write: 'function', push: 'function' },
};
const REQUIRED = { job: ['record', 'id', 'source', 'target'], source: ['list'], target: [] };
/** Of the vocabulary, but without effect yet: better refused than ignored. */
const NOT_YET = { job: ['deleted'], source: [], target: ['writeMany', 'remove', 'list', 'existing'] };

/**
 * Checks what a file of `functions/jobs` says, and returns the job for its default export.
 * @throws JobError that names every key that is missing, unknown or of the wrong kind
 */
export function defineJob<R, S = unknown, X = unknown>(job: JobDefinition<R, S, X>): DefinedJob<R, S, X> {
  const faults = (['job', 'source', 'target'] as const).flatMap((place) => {
    const part: unknown = place === 'job' ? job : (job as Partial<typeof job> | undefined)?.[place];
    return typeof part === 'object' && part !== null
      ? faultsOf(place, part)
      : place === 'job'
        ? ['it is no object']
        : [];
  });
  const { write, push } = Object(job?.target);
  if (!write === !push && !faults.some((fault) => fault.startsWith('target'))) {
    faults.push(write ? 'target.write and target.push exclude each other' : 'target.write or target.push is missing');
  }
  for (const place of ['source', 'target'] as const) {
    const { auth, headers } = Object(job?.[place]);
    if (auth && Object.keys(Object(headers)).some((name) => name.toLowerCase() === 'authorization')) {
      faults.push(`${place}.auth and ${place}.headers.authorization are two authorizations: leave one out`);
    }
  }
  if (faults.length > 0) throw new JobError(faults.join('; '));
  const { updatedAt } = job;
  const made = {
    ...job,
    id: (record) => decimal(job.id(record)),
    ...(updatedAt && { updatedAt: (record) => isoTime(updatedAt(record)) }),
  } as DefinedJob<R, S, X>;
  defined.add(made);
  return made;
}

const defined = new WeakSet<object>();

/** Whether `defineJob` has made and so checked it. */
export const isDefined = (job: unknown): job is DefinedJob<unknown> => defined.has(Object(job));

function faultsOf(place: keyof typeof KEYS, part: object): string[] {
  const named = (key: string) => (place === 'job' ? key : `${place}.${key}`);
  const missing = REQUIRED[place].filter((key) => (part as Record<string, unknown>)[key] === undefined);
  return [
    ...missing.map((key) => `${named(key)} is missing`),
    ...Object.entries(part).flatMap(([key, value]) => {
      const kind = KEYS[place][key];
      if (NOT_YET[place].some((one) => one === key)) return [`${named(key)} is not there yet`];
      if (kind === undefined) return [`${named(key)} is not a known key`];
      return value === undefined || isOf(kind, value) ? [] : [`${named(key)} must be a ${kind}`];
    }),
  ];
}

function isOf(kind: Kind, value: unknown): boolean {
  // A schema of valibot is an object, one of arktype a function.
  if (kind === 'schema') return typeof Object(value)['~standard']?.validate === 'function';
  if (kind === 'selector') return typeof value === 'string' || typeof value === 'function';
  return typeof value === kind && value !== null;
}

/** @throws for a number that is no whole one, or that JavaScript has altered */
function decimal(id: string | number): string {
  if (typeof id === 'number') {
    if (Number.isSafeInteger(id)) return String(id);
    throw new TypeError('the id is a number that is no whole one, or has more digits than JavaScript keeps');
  }
  return id;
}

/** What is no time stays as it is, for those who check times. */
const isoTime = (time: string | Date): string =>
  time instanceof Date ? (Number.isNaN(time.getTime()) ? '' : time.toISOString()) : time;
