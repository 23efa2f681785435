import * as real from 'node:crypto';
import { current } from '../process.ts';

export * from 'node:crypto';

/** Instead of `node:crypto`: what a simulated process draws follows from the seed. */
export function randomBytes(size: number): Buffer {
  const process = current();
  return process ? Buffer.from(Array.from({ length: size }, () => process.random() * 256)) : real.randomBytes(size);
}

export function randomUUID(): string {
  const hex = randomBytes(16).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
