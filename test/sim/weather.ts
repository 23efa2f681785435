import type { History, Server, Weather } from './history.ts';
import type { Timeline } from './timeline.ts';

/** What a server needs of the world around it. */
export interface Surroundings {
  history: History;
  timeline: Timeline;
}

/** What is wrong with a server at this moment. */
export function weatherOn<K extends Weather['kind']>(
  { history, timeline: { nowMs } }: Surroundings,
  on: Server,
  kind: K,
  who?: string,
): (Weather & { kind: K }) | undefined {
  const found = history.weather.find(
    (weather) =>
      weather.on === on &&
      weather.kind === kind &&
      nowMs >= weather.fromMs &&
      nowMs < weather.fromMs + weather.forMs &&
      (!('who' in weather) || weather.who === who),
  );
  return found as (Weather & { kind: K }) | undefined;
}
