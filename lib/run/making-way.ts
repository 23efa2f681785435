import type { Backfill } from '../backfill-event.ts';
import { Interrupted } from '../errors.ts';
import type { Tick } from '../event.ts';
import { nothing, type Query } from '../lock/query.ts';
import type { Settings } from '../settings/config.ts';
import type { Places } from '../state/places.ts';
import { type Wanted, wantedSince } from '../state/wanted.ts';

/** What a run that holds the lock reads of a tick that finds it held, at no call of its own. */
export interface MakingWay {
  /** Whether the run ends early for such a tick. */
  yields: boolean;
  /** Goes along with each checkpoint. */
  atCheckpoint: Query<Wanted | undefined>;
  /** Goes along with the unlock. The tick is to run then. */
  atUnlock: Query<Wanted | undefined>;
}

/** A backfill makes way at the next settled page, with YIELD=page; a tick at its end, with OVERLAP=follow. */
export function makingWay(
  { kind }: Pick<Tick | Backfill, 'kind'>,
  { yields, follows }: Pick<Settings, 'yields' | 'follows'>,
  places: Places,
  token: string,
): MakingWay {
  const wanted = wantedSince(places, token);
  if (kind === 'backfill' && yields) return { yields, atCheckpoint: wanted, atUnlock: wanted };
  return { yields: false, atCheckpoint: nothing, atUnlock: kind === 'tick' && follows ? wanted : nothing };
}

/** Ends a backfill as a partial one. */
export const yielding = ({ at }: Wanted): Interrupted =>
  new Interrupted(
    'yielded',
    `the backfill makes way for a tick that found the lock held at ${at ?? 'an unknown time'}`,
  );
