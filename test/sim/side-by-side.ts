import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Played } from './seeds.ts';

/** Plays the histories of `runs` seeds from `first` on, in as many threads as there are cores. */
export async function playSideBySide(options: { first: number; runs: number; stopAt?: number }): Promise<Played> {
  const threads = Math.min(availableParallelism(), options.runs);
  const parts = Array.from({ length: threads }, (_, index) => {
    const { first, runs } = options;
    return inThread({ ...options, first: first + index, runs: runs - index, step: threads });
  });
  return (await Promise.all(parts)).reduce((all, part) => {
    for (const [label, count] of Object.entries(part.outcomes))
      all.outcomes[label] = (all.outcomes[label] ?? 0) + count;
    return {
      runs: all.runs + part.runs,
      invocations: all.invocations + part.invocations,
      outcomes: all.outcomes,
      failures: [...all.failures, ...part.failures].sort((a, b) => a.seed - b.seed),
    };
  });
}

function inThread(workerData: object): Promise<Played> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./thread.ts', import.meta.url), { workerData });
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', (code) => reject(new Error(`a thread of the simulator ended with ${code}`)));
  });
}
