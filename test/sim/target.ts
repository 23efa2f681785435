import { EPOCH_MS } from './process.ts';
import type { Answer, Request } from './request.ts';
import { dateOf, spending, throttled } from './throttled.ts';
import { type Surroundings, weatherOn } from './weather.ts';

/** A model of the shipped job's target: it compares fencing tokens and knows repeated requests by their idempotency key. */
export interface ModelTarget {
  answer(request: Request): Answer;
  /** The body that is stored of each record. */
  readonly stored: ReadonlyMap<string, Stored>;
  /** The number of writes accepted with this token. */
  accepted(scope: string, token: string): number;
  /** The target's operator lets it forget the highest tokens, as after a restore of etcd. */
  forgetTokens(): void;
}

interface Stored {
  body: { updatedAt: string; name: string };
  /**
   * This version replaced another one that no fence could keep: its sender had given it up and then written that one, or a
   * process has the same token, because etcd was restored without a raised revision.
   */
  overtaken: boolean;
  by: string;
  tenure: string;
  madeAtMs: number;
}

export function createModelTarget(
  world: Surroundings & {
    violation(what: string): void;
    tell(what: string): void;
    blamed(id: string, by: string): void;
    clocksGoBack: boolean;
  },
  random: () => number,
): ModelTarget {
  const highest = new Map<string, bigint>();
  const accepted = new Map<string, number>();
  const stored = new Map<string, Stored>();
  /** The body of each write, by its idempotency key. */
  const applied = new Map<string, string>();

  const answer = (status: number): Answer => ({
    status,
    headers: { date: dateOf(world, 'target') },
    body: Buffer.from('{}'),
  });

  function refusal(id: string): Answer | undefined {
    const throttle = weatherOn(world, 'target', 'throttles');
    if (throttle && random() < throttle.share) return throttled(world, 'target', throttle);
    const fault = weatherOn(world, 'target', 'fails');
    if (fault && random() < fault.share) return answer(fault.status);
    const everybody = weatherOn(world, 'target', 'refuses-everybody');
    if (everybody) return answer(everybody.status);
    const some = weatherOn(world, 'target', 'refuses');
    return some?.ids.includes(id) ? answer(some.status) : undefined;
  }

  return {
    answer(request) {
      const { method, path, headers, body = '' } = request;
      const id = decodeURIComponent(/^\/v1\/regions\/eu\/models\/([^/]+)$/.exec(path)?.[1] ?? '');
      const { 'x-fencing-token': token = '', 'x-fencing-scope': scope = '', 'idempotency-key': key = '' } = headers;
      if (method !== 'PUT' || id === '' || !/^\d+$/.test(token) || scope === '' || key === '') {
        world.violation(`the target got a malformed write: ${method} ${path} ${JSON.stringify(headers)}`);
        return answer(400);
      }
      const refused = refusal(id);
      if (refused && refused.status < 500 && refused.pauseMs === undefined) world.blamed(id, request.by);
      if (refused) return refused;
      if (BigInt(token) < (highest.get(scope) ?? 0n)) return answer(412);
      highest.set(scope, BigInt(token));
      const tenure = `${scope} ${token}`;
      world.blamed('', request.by);
      accepted.set(tenure, (accepted.get(tenure) ?? 0) + 1);
      const before = applied.get(key);
      if (before !== undefined && before !== body)
        world.violation(`the target got two versions of ${id} with the same idempotency key`);
      if (before !== undefined) return answer(200);
      applied.set(key, body);
      const now = JSON.parse(body) as Stored['body'];
      const replaced = stored.get(id);
      const late = replaced?.by === request.by && replaced.madeAtMs >= (request.endedAtMs ?? Number.POSITIVE_INFINITY);
      const older = replaced?.by === request.by && replaced.body.updatedAt > now.updatedAt;
      if (
        older &&
        !late &&
        !world.clocksGoBack &&
        Date.parse(replaced.body.updatedAt) < EPOCH_MS + world.timeline.nowMs
      )
        world.violation(`one run wrote an older version of ${id} over a newer one`);
      const twin = replaced?.tenure === tenure && replaced.by !== request.by;
      stored.set(id, { body: now, overtaken: late || twin, by: request.by, tenure, madeAtMs: request.madeAtMs });
      world.tell(`the target stores ${id} of ${now.updatedAt}, token ${token}`);
      return spending(world, 'target', answer(200), random);
    },
    stored,
    accepted: (scope, token) => accepted.get(`${scope} ${token}`) ?? 0,
    forgetTokens: () => highest.clear(),
  };
}
