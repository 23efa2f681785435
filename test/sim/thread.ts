import { parentPort, workerData } from 'node:worker_threads';
import { playSeeds } from './seeds.ts';

/** One thread of `side-by-side.ts`. */
parentPort!.postMessage(await playSeeds(workerData));
