import type { Accepted } from '../engine/accept.ts';
import { instantAt } from '../instant.ts';
import type { Log } from '../log.ts';
import type { PassUnderWay } from '../state/pass-under-way.ts';

/**
 * Makes the function that finds records outside of the window that the source was asked for, by when they changed. A source
 * that ignores `since` and `until` would otherwise have everything written again and again. Logged once.
 */
export function outsideOf<R>(pass: Pick<PassUnderWay, 'current'>, log: Log): (record: Accepted<R>) => boolean {
  let said = false;
  // Not from where the pass may have had to restart: that only saves work, and a source that ignores it gives everything.
  const { since, until } = pass.current();
  const fromMs = since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(since);
  const untilMs = until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until);
  return ({ id, updatedAtMs }) => {
    // NaN, an unknown time, is neither.
    if (!(updatedAtMs < fromMs) && !(updatedAtMs >= untilMs)) return false;
    if (!said) {
      const record = { id, updatedAt: instantAt(updatedAtMs) };
      log.warn(
        'the source gives records outside of the window that it was asked for, as if it ignored since and until: they are left out',
        { record, since, until },
      );
    }
    said = true;
    return true;
  };
}
