import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const taskset = (...args: string[]) => promisify(execFile)('taskset', args);

/**
 * Gives this process, and so all servers that it starts, the cores that the clients do not have.
 * @returns the words to start a client with, so that it has a core of its own; none where that cannot be done
 */
export async function divideCores(): Promise<string[]> {
  try {
    const { stdout } = await taskset('-c', '-p', `${process.pid}`);
    // Such as 0-3,6: those that this process may use.
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
