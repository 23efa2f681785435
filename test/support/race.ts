import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export type Order = { lockKey: string; startAtMs: number } | { release: true };

/** The outcome for one client: its own token, or the winner's. */
export interface Result {
  won: boolean;
  token: string;
}

export interface Racer extends AsyncDisposable {
  /** All clients try the lock, at `startAtMs` of the wall clock. */
  race(lockKey: string, startAtMs?: number): Promise<Result[]>;
  /** The winner releases the lock. */
  release(): Promise<void>;
  kill(): Promise<void>;
}

/** Starts a process with `clients` clients, each with a connection and a session of its own. */
export async function startRacer(
  endpoints: string[],
  { clients, ttlSeconds = 60 }: { clients: number; ttlSeconds?: number },
): Promise<Racer> {
  const args = [endpoints.join(','), String(clients), String(ttlSeconds)];
  const child = fork(join(import.meta.dirname, 'racer.ts'), args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const exited = once(child, 'exit');
  /** The next message, or an error when the process ends instead. */
  const answer = async () => {
    const gone = exited.then(([code]) => Promise.reject(new Error(`a racer ended early with ${code}`)));
    return (await Promise.race([once(child, 'message'), gone]))[0] as Result[];
  };
  const tell = async (order: Order) => {
    const answered = answer();
    child.send(order);
    return await answered;
  };
  await answer();
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  return {
    race: (lockKey, startAtMs = Date.now()) => tell({ lockKey, startAtMs }),
    async release() {
      await tell({ release: true });
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

/**
 * Lets all clients of all processes try one lock at the same moment, `rounds` times.
 * @returns a sentence for each fault; none if each round had one winner whose token all losers name
 */
export async function playRaces(
  endpoints: string[],
  options: { processes: number; clients: number; rounds: number; lockKey: string },
): Promise<string[]> {
  const { processes, clients, rounds, lockKey } = options;
  await using stack = new AsyncDisposableStack();
  const racers = await Promise.all(
    Array.from({ length: processes }, async () => stack.use(await startRacer(endpoints, { clients }))),
  );
  const faults: string[] = [];
  let before = 0n;
  for (let round = 1; round <= rounds; round++) {
    // The order reaches all processes by then.
    const startAtMs = Date.now() + 50;
    const results = (await Promise.all(racers.map((racer) => racer.race(lockKey, startAtMs)))).flat();
    const winners = results.filter(({ won }) => won);
    const tokens = new Set(results.map(({ token }) => token));
    if (results.length !== processes * clients) faults.push(`round ${round}: ${results.length} results`);
    if (winners.length !== 1) faults.push(`round ${round}: ${winners.length} winners`);
    if (tokens.size !== 1) faults.push(`round ${round}: the losers name ${[...tokens]}`);
    for (const { token } of winners) {
      if (BigInt(token) <= before) faults.push(`round ${round}: token ${token} after ${before}`);
      before = BigInt(token);
    }
    await Promise.all(racers.map((racer) => racer.release()));
  }
  return faults;
}
