import assert from 'node:assert/strict';

type Values = Record<string, unknown>;
type Read = (values: Values) => unknown;

/** A query of CloudWatch Logs Insights, of the part of the language that `infra/stack` uses; anything else is an error. */
export interface Query {
  /** The log groups of its SOURCE commands. */
  sources: string[];
  /** The fields that it reads from lines, and not from its own earlier commands. */
  fields: Set<string>;
  run(lines: readonly string[]): Values[];
}

/** The fields of a line, flat as CloudWatch discovers them: `report.read`, `failed.0.id`. Of a line that is no JSON, none. */
export function discovered(line: string): Values {
  const values: Values = { '@message': line, '@timestamp': 0 };
  const add = (name: string, value: unknown) => {
    if (typeof value !== 'object' || value === null) values[name] = value;
    else for (const [key, part] of Object.entries(value)) add(name ? `${name}.${key}` : key, part);
  };
  if (line.startsWith('{')) add('', JSON.parse(line));
  return values;
}

/** @throws AssertionError for what it does not understand */
export function parseQuery(text: string): Query {
  const fields = new Set<string>();
  const made = new Set<string>();
  const sources: string[] = [];
  const steps: ((rows: Values[]) => Values[])[] = [];
  const field = (name: string): Read => {
    assert.match(name, /^@?[a-zA-Z_]\w*(\.\w+)*$/, `no field: ${name}`);
    if (!name.startsWith('@') && !made.has(name)) fields.add(name);
    return (values) => values[name];
  };
  const named = (part: string) => {
    const [, expression = '', name = expression] = /^(.*?)(?:\s+as\s+(\w+))?$/.exec(part) ?? [];
    return { expression, name };
  };
  const value = (expression: string): Read => {
    const [, first = '', second = ''] = /^coalesce\(([^,]+), *([^)]+)\)$/.exec(expression) ?? [];
    if (!first) return field(expression);
    const [one, other] = [field(first), field(second)];
    return (values) => one(values) ?? other(values);
  };
  const condition = (expression: string): Read => {
    const alternatives = expression.split(/ or /).map((one) => {
      const [, present] = /^ispresent\(([^)]+)\)$/.exec(one) ?? [];
      if (present) {
        const read = field(present);
        return (values: Values) => read(values) !== undefined;
      }
      const [, name = '', wanted] = /^(\S+) = "([^"]*)"$/.exec(one) ?? assert.fail(`no condition: ${one}`);
      const read = field(name);
      return (values: Values) => String(read(values)) === wanted;
    });
    return (values) => alternatives.some((holds) => holds(values));
  };
  const commands: Record<string, (rest: string) => void> = {
    SOURCE: (rest) => sources.push(rest.replaceAll("'", '')),
    fields(rest) {
      const reads = listed(rest).map(named);
      const picked = reads.map(({ expression, name }) => ({ name, read: value(expression) }));
      for (const { name } of reads) made.add(name);
      steps.push((rows) => rows.map((row) => ({ ...row, ...evaluated(row, picked) })));
    },
    filter(rest) {
      const holds = condition(rest);
      steps.push((rows) => rows.filter(holds));
    },
    stats(rest) {
      const [, aggregates = '', groups = ''] = /^(.*) by (.*)$/.exec(rest) ?? assert.fail(`no stats: ${rest}`);
      const by = listed(groups).map((name) => ({ name, read: field(name) }));
      const sums = listed(aggregates)
        .map(named)
        .map(({ expression, name }) => ({ name, sum: aggregate(expression, field) }));
      for (const { name } of [...by, ...sums]) made.add(name);
      steps.push((rows) =>
        [...Map.groupBy(rows, (row) => JSON.stringify(by.map(({ read }) => read(row)))).values()].map((group) => ({
          ...evaluated(group[0]!, by),
          ...Object.fromEntries(sums.map(({ name, sum }) => [name, sum(group)])),
        })),
      );
    },
    sort(rest) {
      const [, name = '', order] = /^(\S+) (asc|desc)$/.exec(rest) ?? assert.fail(`no order: ${rest}`);
      const read = field(name);
      const compare = (a: Values, b: Values) => Number(ascending(read(a), read(b)));
      steps.push((rows) => rows.toSorted(order === 'asc' ? compare : (a, b) => compare(b, a)));
    },
    limit: (rest) => steps.push((rows) => rows.slice(0, Number(rest))),
  };
  for (const command of text.replace(/^#.*$/gm, '').split('|')) {
    const [, name = '', rest = ''] = /^\s*(\w+)\s+(.*?)\s*$/s.exec(command) ?? [];
    (commands[name] ?? assert.fail(`no command: ${command}`))(rest.replace(/\s+/g, ' '));
  }
  return {
    ...{ sources, fields },
    run: (lines) => steps.reduce((rows, step) => step(rows), lines.map(discovered)),
  };
}

/** Splits at the commas that are not inside parentheses. */
const listed = (text: string) => text.split(/,\s*(?![^(]*\))/);

const evaluated = (row: Values, parts: { name: string; read: Read }[]) =>
  Object.fromEntries(parts.map(({ name, read }) => [name, read(row)]));

const ascending = (a: unknown, b: unknown) =>
  typeof a === 'number' && typeof b === 'number' ? a - b : String(a) < String(b) ? -1 : Number(String(a) > String(b));

function aggregate(expression: string, field: (name: string) => Read): (rows: Values[]) => unknown {
  const [, name, of = ''] = /^(\w+)\((.*)\)$/.exec(expression) ?? [];
  if (expression === 'count(*)') return (rows) => rows.length;
  const read = field(of);
  const present = (rows: Values[]) => rows.map(read).filter((one) => one !== undefined);
  if (name === 'count_distinct') return (rows) => new Set(present(rows)).size;
  if (name === 'max' || name === 'sortsLast') return (rows) => present(rows).sort(ascending).at(-1);
  return assert.fail(`no aggregate: ${expression}`);
}
