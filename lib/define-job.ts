import { JobError } from './errors.ts';
import type { Job, JobDefinition } from './job-types.ts';

/** A checked job that has no name yet: its file's name is. */
export type DefinedJob<R, S = unknown, X = unknown> = Omit<Job<R, S, X>, 'name'>;

type Kind = 'function' | 'schema' | 'object' | 'boolean' | 'selector' | 'whole number above 0';
type Place = 'job' | 'source' | 'target' | 'target.writeMany';

/** Every key that a job may have, by its place, and what it holds. */
const KEYS: Record<Place, Record<string, Kind>> = {
  job: {
    ...{ settings: 'schema', secret: 'schema', record: 'schema', id: 'function', updatedAt: 'function' },
    ...{ deleted: 'function', source: 'object', target: 'object' },
  },
  source: {
    ...{ auth: 'function', headers: 'object', check: 'function', list: 'function', sharded: 'boolean' },
    ...{ one: 'function', oneRecord: 'selector' },
  },
  target: {
    ...{ auth: 'function', headers: 'object', check: 'function', write: 'function', writeMany: 'object' },
    ...{ push: 'function', remove: 'function', list: 'function', existing: 'function' },
  },
  'target.writeMany': {
    ...{ max: 'whole number above 0', maxBytes: 'whole number above 0', request: 'function', results: 'function' },
  },
};
const REQUIRED: Record<Place, string[]> = {
  job: ['record', 'id', 'source', 'target'],
  source: ['list'],
  target: [],
  'target.writeMany': ['max', 'request'],
};
const WAYS_TO_WRITE = ['write', 'writeMany', 'push'] as const;

/**
 * Checks what a file of `functions/jobs` says, and returns the job for its default export.
 * @throws JobError that names every key that is missing, unknown or of the wrong kind
 */
export function defineJob<R, S = unknown, X = unknown>(job: JobDefinition<R, S, X>): DefinedJob<R, S, X> {
  const { source, target } = Object(job);
  const parts: Record<Place, unknown> = { job, source, target, 'target.writeMany': Object(target).writeMany };
  const faults = Object.entries(parts).flatMap(([place, part]) => {
    if (typeof part === 'object' && part !== null) return faultsOf(place as Place, part);
    return place === 'job' ? ['it is no object'] : [];
  });
  if (!faults.some((fault) => fault.startsWith('target'))) faults.push(...faultsOfWriting(Object(job)));
  for (const place of ['source', 'target'] as const) {
    const { auth, headers } = Object(job?.[place]);
    if (auth && Object.keys(Object(headers)).some((name) => name.toLowerCase() === 'authorization')) {
      faults.push(`${place}.auth and ${place}.headers.authorization are two authorizations: leave one out`);
    }
  }
  if (faults.length > 0) throw new JobError(faults.join('; '));
  const { updatedAt } = job;
  const { existing } = job.target;
  const made = {
    ...job,
    id: (record) => decimal(job.id(record)),
    ...(updatedAt && { updatedAt: (record) => isoTime(updatedAt(record)) }),
    target: {
      ...job.target,
      ...(existing && {
        existing(raw) {
          const { id, body } = existing(raw);
          return { id: decimal(id), body };
        },
      }),
    },
  } as DefinedJob<R, S, X>;
  defined.add(made);
  return made;
}

const defined = new WeakSet<object>();

/** Whether `defineJob` has made and so checked it. */
export const isDefined = (job: unknown): job is DefinedJob<unknown> => defined.has(Object(job));

/** What in the target's keys does not go together. */
function faultsOfWriting(job: { deleted?: unknown; target?: unknown }): string[] {
  const { remove, list, existing, ...target } = Object(job.target);
  const ways = WAYS_TO_WRITE.filter((way) => target[way]).map((way) => `target.${way}`);
  return [
    ...(ways.length === 0 ? ['target.write, target.writeMany or target.push is missing'] : []),
    ...(ways.length > 1 ? [`${ways.join(' and ')} exclude each other`] : []),
    ...(list && !existing ? ['target.list needs target.existing'] : []),
    ...(existing && !list ? ['target.existing needs target.list'] : []),
    ...(job.deleted && !remove ? ['deleted needs target.remove'] : []),
  ];
}

function faultsOf(place: Place, part: object): string[] {
  const named = (key: string) => (place === 'job' ? key : `${place}.${key}`);
  const missing = REQUIRED[place].filter((key) => (part as Record<string, unknown>)[key] === undefined);
  return [
    ...missing.map((key) => `${named(key)} is missing`),
    ...Object.entries(part).flatMap(([key, value]) => {
      const kind = KEYS[place][key];
      if (kind === undefined) return [`${named(key)} is not a known key`];
      return value === undefined || isOf(kind, value) ? [] : [`${named(key)} must be a ${kind}`];
    }),
  ];
}

function isOf(kind: Kind, value: unknown): boolean {
  // A schema of valibot is an object, one of arktype a function.
  if (kind === 'schema') return typeof Object(value)['~standard']?.validate === 'function';
  if (kind === 'selector') return typeof value === 'string' || typeof value === 'function';
  if (kind === 'whole number above 0') return Number.isSafeInteger(value) && Number(value) > 0;
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
