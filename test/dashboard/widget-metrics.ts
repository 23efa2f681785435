import assert from 'node:assert/strict';
import type { Told } from '../support/told-metrics.ts';

/** A widget of a dashboard's body, as far as it is read here. */
export interface Widget {
  type: string;
  x: number;
  y: number;
  width: number;
  height: number;
  properties: {
    title?: string;
    markdown?: string;
    alarms?: string[];
    query?: string;
    metrics?: unknown[][];
    yAxis?: { left?: Axis; right?: Axis };
    annotations?: { horizontal: { label: string; value: number; yAxis?: string }[] };
  };
}

interface Axis {
  min?: number;
  label?: string;
}

/** What the last part of a row of `metrics` may say. */
export interface Options {
  label?: string;
  color?: string;
  yAxis?: string;
  stat?: string;
}

export type Row = Options & ({ metric: Told } | { expression: string });

/** The rows of a metric widget, in which "." repeats the value in the row above. */
export function rowsOf({ metrics = [] }: Widget['properties']): Row[] {
  let above: string[] = [];
  return metrics.map((row) => {
    const options = row.find((part) => typeof part === 'object') as (Options & { expression?: string }) | undefined;
    const { expression } = options ?? {};
    if (expression !== undefined) return { ...options, expression };
    const written = row.filter((part) => typeof part === 'string');
    above = written.map((part, index) => (part === '.' ? above[index]! : part));
    const [namespace = '', name = '', ...pairs] = above;
    const dimensions: Record<string, string> = {};
    for (let index = 0; index < pairs.length; index += 2) dimensions[pairs[index]!] = pairs[index + 1]!;
    return { ...options, metric: { namespace, name, dimensions } };
  });
}

/** The metrics that a SEARCH finds: those of its schema whose dimensions, and whose name, are the ones it asks for. */
export function found(expression: string, told: readonly Told[]): Told[] {
  const [, schema = '', terms = ''] = /^SEARCH\('\{([\w/,]+)\} (.*)', '\w+', \d+\)$/.exec(expression) ?? [];
  assert.ok(schema, `no SEARCH of a known form: ${expression}`);
  const [namespace, ...keys] = schema.split(',');
  const wanted = [...terms.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key!, value!] as const);
  assert.equal(wanted.map(([key, value]) => `${key}="${value}"`).join(' '), terms);
  return told.filter(
    (metric) =>
      metric.namespace === namespace &&
      Object.keys(metric.dimensions).sort().join() === keys.sort().join() &&
      wanted.every(([key, value]) => (key === 'MetricName' ? metric.name : metric.dimensions[key]) === value),
  );
}

/** The metrics of all rows of a widget, those that its searches find among them, each with what its row says. */
export function seriesOf(
  properties: Widget['properties'],
  told: readonly Told[],
): (Options & { metric: Told; text: string })[] {
  return rowsOf(properties).flatMap((row) => {
    if ('metric' in row) return [{ ...row, text: row.label ?? row.metric.name }];
    const metrics = found(row.expression, told);
    // CloudWatch names what a search finds by what tells the metrics apart.
    return metrics.map((metric) => ({
      ...{
        metric,
        text: [row.label, metric.dimensions.job, metric.dimensions.shard, metric.name].filter(Boolean).join(' '),
      },
    }));
  });
}
