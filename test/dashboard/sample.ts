import { hash } from 'node:crypto';
import type { Told } from '../support/told-metrics.ts';
import { nameOf } from '../support/told-metrics.ts';

/** The points of a day, one for each period of the dashboard. */
export const POINTS = (24 * 60) / 5;

/** How many of the points are not 0, and the most that one is. */
const shapes: [name: RegExp, share: number, most: number][] = [
  [/^Success$|^Completed$/, 1, 5],
  [/^Records(Read|Written)$/, 1, 700],
  [/^Records/, 0.1, 20],
  [/^DurationMs$/, 1, 9000],
  [/Seconds/, 1, 900],
  [/^PeakInFlight$/, 1, 50],
  [/^RemovalsWithheld$/, 0.2, 120],
  [/^Throttles$/, 0.1, 40],
  [/./, 0.05, 3],
];

/** Points that look like those of a real day, for a widget to be looked at: the same ones each time. */
export function pointsOf(metric: Told, stat?: string): number[] {
  const [, share, most] = shapes.find(([name]) => name.test(metric.name))!;
  const draw = (index: number) =>
    Number.parseInt(hash('sha1', `${nameOf(metric)} ${index}`, 'hex').slice(0, 8), 16) / 2 ** 32;
  const own = (0.4 + 0.6 * draw(-1)) * (stat === 'p50' ? 0.4 : 1);
  return Array.from({ length: POINTS }, (_, index) => {
    // A figure that is there at times is there for a while.
    if (draw(Math.floor(index / 6) + 1000) > share) return 0;
    const day = 0.6 + 0.3 * Math.sin((index / POINTS) * 2 * Math.PI);
    return most * own * (day + 0.1 * draw(index));
  });
}

const line = (timestamp: string, more: object) => JSON.stringify({ timestamp, job: 'models', ...more });

/** Lines as runs print them, of those that the dashboard looks for. */
export const sampleLines = [
  line('2026-11-24T12:15:00.120Z', {
    ...{ level: 'INFO', reason: 'locked', heldBy: { key: '/solotick/dev/models/lock/24f9a22771877217' } },
    message:
      'skipped: the lock is held by backfill 58fe1d2d-7751-448a-bdab-f2d63bff1234, started 2026-11-24T12:04:14.383Z (646 s ago)',
  }),
  line('2026-11-24T12:30:04.811Z', {
    ...{ level: 'ERROR', message: 'the invocation failed' },
    error: {
      name: 'TargetDownError',
      message: '100 records in a row could not be written: the target did not answer within 10000 ms',
    },
  }),
];
