import { printable } from '../terminal/printable.ts';

/** Keys that every line of a run repeats, or that matter only in a log of many functions. */
const QUIET = /^(level|message|timestamp|service|job|sampling_rate|xray_trace_id|cold_start|function_.*)$/;

/** Rewrites a line that a function printed for people to read: JSON becomes time, level, message and fields. */
export const readable = (name: string, line: string): string => printable(rewritten(name, line));

function rewritten(name: string, line: string): string {
  let parsed: Record<string, unknown>;
  try {
    parsed = Object(JSON.parse(line));
  } catch {
    return `${name}  ${line}`;
  }
  const time = new Date((parsed._aws as { Timestamp?: number } | undefined)?.Timestamp ?? Number.NaN);
  if (!Number.isNaN(time.getTime())) return readableMetrics(name, time, parsed);
  const { timestamp, level, message } = parsed;
  if (typeof level !== 'string' || typeof message !== 'string') return `${name}  ${line}`;
  const fields = Object.entries(parsed).flatMap(([key, value]) => (QUIET.test(key) ? [] : [`${key}=${format(value)}`]));
  return `${String(timestamp).slice(11, 23)} ${name.padEnd(8)} ${level.padEnd(5)} ${message}  ${fields.join(' ')}`.trimEnd();
}

/** Rewrites a line in the embedded metric format, which CloudWatch turns into metrics. */
function readableMetrics(name: string, time: Date, values: Record<string, unknown>): string {
  const metrics = Object.entries(values).flatMap(([key, value]) =>
    typeof value === 'number' ? [`${key}=${value}`] : [],
  );
  return `${time.toISOString().slice(11, 23)} ${name.padEnd(8)} EMF   ${metrics.join(' ')}`;
}

function format(value: unknown): string {
  if (typeof value === 'string' && !/\s/.test(value)) return value;
  const error = value as { name?: string; message?: string } | null;
  if (error?.name && error.message) return `${error.name}: ${error.message}`;
  return JSON.stringify(value);
}
