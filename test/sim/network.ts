import type { Server } from './history.ts';
import { outside, type Process } from './process.ts';
import { weatherOn } from './weather.ts';
import { worldOf } from './world.ts';

/** What a caller gets instead of an answer when nobody is there. */
export const UNREACHABLE = Symbol('unreachable');

type Trouble = 'unreachable' | 'loses-requests' | 'loses-answers' | 'slow';

/** A server drops a request whose client has hung up, unless it has been on its way for less than this. */
const LATE_MS = 2000;

/**
 * Carries a call of `process` to a server and its answer back, each after a while, and perhaps never.
 * @param serve happens at the server; undefined is no answer
 * @param settle happens in the process; not once it has hung up
 */
export function carry<A>(
  process: Process,
  to: Server,
  serve: () => A | undefined,
  settle: (answer: A | typeof UNREACHABLE) => void,
): { hangUp(): void } {
  const { random } = process;
  const world = worldOf(process);
  const { timeline } = world;
  const now = <K extends Trouble>(kind: K) => weatherOn(world, to, kind, process.name);
  let hungUpAtMs = Number.POSITIVE_INFINITY;
  if (process.dead || process.onCall?.(++process.calls) === false) return { hangUp() {} };

  function arrive(answer: A | typeof UNREACHABLE, afterMs: number) {
    timeline.at(timeline.nowMs + afterMs, () =>
      process.arrive(() => {
        if (hungUpAtMs === Number.POSITIVE_INFINITY) settle(answer);
      }),
    );
  }

  function leave() {
    const oneWayMs = (world.history.latencyMs[to] * (0.5 + random())) / 2;
    const [lost, answerLost] = [random(), random()];
    const slow = now('slow');
    const slowMs = slow ? slow.byMs * random() : 0;
    if (now('unreachable')) return arrive(UNREACHABLE, oneWayMs);
    if (lost < (now('loses-requests')?.share ?? 0)) return;
    timeline.at(timeline.nowMs + oneWayMs + slowMs, () => {
      if (timeline.nowMs > hungUpAtMs + LATE_MS) return;
      const answer = outside(serve);
      if (answer === undefined || answerLost < (now('loses-answers')?.share ?? 0)) return;
      arrive(answer, oneWayMs);
    });
  }

  if (process.dead) leave();
  else process.arrive(leave);
  return {
    hangUp() {
      hungUpAtMs = Math.min(hungUpAtMs, timeline.nowMs);
    },
  };
}
