/** A value of the stage in a template of this folder: `$(prefix)`, `$(schedule.expression)`. */
const PLACEHOLDER = /\$\(([\w.]+)\)/g;
const WHOLE = /^\$\(([\w.]+)\)$/;

/**
 * Copies a part of a template with its placeholders filled in. Text that is only a placeholder becomes the value itself.
 * @throws Error that names a value that there is not
 */
export function fill<T>(part: T, values: object): T {
  return filled(part, values) as T;
}

function filled(part: unknown, values: object): unknown {
  if (typeof part === 'string') {
    const path = WHOLE.exec(part)?.[1];
    return path ? valueAt(path, values) : part.replace(PLACEHOLDER, (_, path) => String(valueAt(path, values)));
  }
  if (Array.isArray(part)) return part.map((each) => filled(each, values));
  if (typeof part !== 'object' || part === null) return part;
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, filled(value, values)]));
}

function valueAt(path: string, values: object): unknown {
  let value: unknown = values;
  for (const name of path.split('.')) value = Object(value)[name];
  if (value === undefined) throw new Error(`infra/stack: there is no value for $(${path})`);
  return structuredClone(value);
}
