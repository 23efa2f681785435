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
  return ({ id, updatedAtMs }) => {
    // Not from where the pass may have had to restart: that only saves work, and a source that ignores it gives everything.
    const { since: from, until } = pass.current();
    // Where the time is unknown, both are false.
    const isEarlier = from !== undefined && updatedAtMs < Date.parse(from);
    const isLater = until !== undefined && updatedAtMs >= Date.parse(until);
    if (!isEarlier && !isLater) return false;
    if (!said) {
      const record = { id, updatedAt: instantAt(updatedAtMs) };
      log.warn(
        'the source gives records outside of the window that it was asked for, as if it ignored since and until: they are left out',
        { record, since: from, until },
      );
    }
    said = true;
    return true;
  };
}
