import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const taskset = (...args: string[]) => promisify(execFile)('taskset', args);

/**
 * Moves this process, and with it all servers that it starts, to the cores that the clients do not use.
 * @returns the command prefix that gives a client its own core; empty with a single core or without taskset
 */
export async function divideCores(): Promise<string[]> {
  try {
    const { stdout } = await taskset('-c', '-p', `${process.pid}`);
    // The cores that this process may use, such as 0-3,6.
    const [first, ...others] = stdout.trim().split(': ')[1]!.split(',').flatMap(range);
    if (others.length === 0) return [];
    await taskset('-a', '-c', '-p', others.join(), `${process.pid}`);
    return ['taskset', '-c', `${first}`];
  } catch {
    return [];
  }
}

function range(text: string): number[] {
  const [from, to = from] = text.split('-').map(Number) as [number, number?];
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
