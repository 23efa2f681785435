import type { StandardSchemaV1 } from '@standard-schema/spec';
import { JobError } from '../errors.ts';
import { expectationOf, placeOf } from '../schema-faults.ts';

/** The part of a job that says which settings are its own. */
export interface OwnSettings {
  settings?: StandardSchemaV1<unknown, unknown> | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Reads a job's own settings; an empty variable counts as absent. @throws JobError where the schema answers later */
export function readOwnSettings(env: Env, { settings: schema }: OwnSettings): { settings: unknown; faults: string[] } {
  if (!schema) return { settings: {}, faults: [] };
  const checked = validate(schema, variables(env));
  if (!checked.issues) return { settings: checked.value, faults: [] };
  const faults = checked.issues.map((issue) => {
    const name = placeOf(issue);
    if (name === '') return `the job's settings: ${expectationOf(issue)}`;
    return env[name]?.trim() ? `${name} ${withoutValue(expectationOf(issue), env[name])}` : `${name} is missing`;
  });
  return { settings: undefined, faults };
}

/** The names of the variables that a job's schema looks at. @throws JobError where the schema answers later */
export function ownSettingNames({ settings: schema }: OwnSettings): string[] {
  const names = new Set<string>();
  if (schema)
    validate(
      schema,
      variables({}, (name) => names.add(name)),
    );
  return [...names];
}

function validate(schema: StandardSchemaV1<unknown, unknown>, value: unknown): StandardSchemaV1.Result<unknown> {
  const checked = schema['~standard'].validate(value);
  if (checked instanceof Promise) throw new JobError('settings: a schema that answers with a promise cannot be used');
  return checked;
}

/**
 * The variables as an object that has each one that is asked for and lists none, so that a strict schema does not refuse the
 * rest of the environment and a loose one does not keep it.
 */
function variables(env: Env, asked: (name: string) => void = () => {}): object {
  const textOf = (name: string | symbol) => {
    if (typeof name !== 'string') return undefined;
    asked(name);
    return env[name]?.trim() ? env[name] : undefined;
  };
  return new Proxy({} as Record<string, string>, {
    get: (_, name) => textOf(name),
    has: (_, name) => textOf(name) !== undefined,
    getOwnPropertyDescriptor(_, name) {
      const value = textOf(name);
      return value === undefined ? undefined : { value, configurable: true, enumerable: true, writable: true };
    },
  });
}

/** A setting may be a URL with a password, whatever it should be. What is as short as this stands in any text. */
const withoutValue = (text: string, value: string) => (value.length < 4 ? text : text.replaceAll(value, '…'));
