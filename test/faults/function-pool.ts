import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Ask } from './stepper.ts';

/** How an invocation ended. */
export interface Answer {
  result?: {
    status: string;
    reason?: string;
    message?: string;
    backfills?: Record<string, unknown>[];
    [key: string]: unknown;
  };
  error?: { name: string; message: string };
  killed?: true;
}

/** Processes like a function's execution environments: one invocation at a time in each, and as many as are needed. */
export interface Pool extends AsyncDisposable {
  /** @param kill ends the invocation's process with kill -9 */
  invoke(ask: Ask, kill?: AbortSignal): Promise<Answer>;
}

interface Running {
  child: ChildProcess;
  exited: Promise<unknown>;
}

/** @param env of the processes */
export function startPool(env: Record<string, string>): Pool {
  const idle: Running[] = [];
  const all = new Set<Running>();

  async function startProcess(): Promise<Running> {
    const file = join(import.meta.dirname, 'stepper.ts');
    const child = fork(file, { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] });
    const running = { child, exited: once(child, 'exit') };
    all.add(running);
    running.exited.then(() => all.delete(running));
    await once(child, 'message');
    return running;
  }

  return {
    async invoke(ask, kill) {
      const running = idle.pop() ?? (await startProcess());
      const { child, exited } = running;
      const answered = Promise.withResolvers<Answer>();
      child.once('message', answered.resolve);
      kill?.addEventListener('abort', () => child.kill('SIGKILL'), { once: true });
      child.send(ask, () => undefined);
      const answer = await Promise.race([answered.promise, exited.then((): Answer => ({ killed: true }))]);
      if (!answer.killed && !kill?.aborted) idle.push(running);
      return answer;
    },
    async [Symbol.asyncDispose]() {
      const ends = [...all].map(({ exited }) => exited);
      for (const { child } of all) child.kill('SIGKILL');
      await Promise.all(ends);
    },
  };
}
