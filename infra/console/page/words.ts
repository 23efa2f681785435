import { printable } from '../../terminal/printable.ts';

/** Text of strangers, with what cannot be seen escaped, such as characters that turn a line around. */
export const shown = printable;

/** `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

/** A duration with its tenths where it is short. */
export const duration = (ms: number) => (ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : span(ms));

/** A moment in the reader's time zone, with its day where that is not today. */
export function moment(instant: string, nowMs: number): string {
  const date = new Date(instant);
  const today = new Date(nowMs).toDateString() === date.toDateString();
  const time = date.toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hour12: false,
  });
  if (today) return time;
  return `${date.toLocaleDateString(undefined, { year: 'numeric', month: 'short', day: 'numeric' })}, ${time}`;
}

export const number = (count: number) => count.toLocaleString('en-US').replaceAll(',', '\u202f');

/** `1 record`, `2 records`. */
export const counted = (count: number, noun: string) => `${number(count)} ${noun}${count === 1 ? '' : 's'}`;
