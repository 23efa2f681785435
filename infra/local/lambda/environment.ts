import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { guard } from '../guard.ts';
import { answer, bodyOf, serve } from '../serve.ts';

export interface FunctionError {
  errorType: string;
  errorMessage: string;
  trace?: string[];
}

export type Outcome = { payload: unknown } | { error: FunctionError };

export interface Invocation {
  requestId: string;
  headers: Record<string, string>;
  event: unknown;
}

/** One execution environment: a process with the function's code, and a Runtime API of its own. */
export interface Environment {
  readonly alive: boolean;
  /** What it has printed; the reader may empty it. */
  readonly logs: string[];
  /** Hands over the event once the code is loaded; resolves when the process has answered or has ended. */
  invoke(invocation: Invocation, onStart: () => void): Promise<Outcome>;
  kill(signal: NodeJS.Signals): void;
  /** Kills the process, waits until it is gone and closes its Runtime API. */
  close(): Promise<void>;
}

/** As Lambda: loading the code may take this long. */
const INIT_TIMEOUT_MS = 10_000;

const BOOTSTRAP = join(import.meta.dirname, 'bootstrap.ts');

/** Starts the process; `env` is its whole environment but for what the Runtime API adds. */
export async function startEnvironment(options: {
  folder: string;
  memoryMb: number;
  env: Record<string, string>;
  onLine: (line: string) => void;
}): Promise<Environment> {
  const { folder, memoryMb, env, onLine } = options;
  let waiting = Promise.withResolvers<ServerResponse>();
  let current: { requestId: string; answered: PromiseWithResolvers<Outcome>; read: number } | undefined;
  const initFailed = Promise.withResolvers<Outcome>();

  const api = await serve(async (request, response) => {
    const [, id, what] =
      /^\/2018-06-01\/runtime\/(?:invocation\/)?([^/]+?)(?:\/([^/]+))?$/.exec(request.url ?? '') ?? [];
    if (id === 'next') return waiting.resolve(response);
    const body = JSON.parse(await bodyOf(request));
    if (id === 'init' && what === 'error') initFailed.resolve({ error: body });
    else if (!current || current.requestId !== id) return answer(response, 400, { errorType: 'InvalidRequestID' });
    else current.answered.resolve(what === 'response' ? { payload: body } : { error: body });
    answer(response, 202, { status: 'OK' });
  });

  const child = spawn(process.execPath, [`--max-old-space-size=${memoryMb}`, BOOTSTRAP], {
    cwd: folder,
    env: { ...env, AWS_LAMBDA_RUNTIME_API: new URL(api.url).host, LAMBDA_TASK_ROOT: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C in the terminal is for the parent, which lets a run finish.
    detached: true,
  });
  await once(child, 'spawn');
  const callOff = guard(child.pid!);
  const closed = once(child, 'close').then(([code, signal]) => {
    callOff();
    return { code, signal } as { code: number | null; signal: string | null };
  });
  const logs: string[] = [];
  let printed = Promise.withResolvers<void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (current && line === `END RequestId: ${current.requestId}`) {
        current.read++;
        if (current.read === 2) printed.resolve();
      } else if (line) {
        logs.push(line);
        onLine(line);
      }
    });
  }
  async function exited(requestId: string): Promise<Outcome> {
    const { code, signal } = await closed;
    const how = signal ? `signal: ${signal}` : `exit status ${code}`;
    return {
      error: {
        errorType: 'Runtime.ExitError',
        errorMessage: `RequestId: ${requestId} Error: Runtime exited with error: ${how}`,
      },
    };
  }

  async function waitForCode(requestId: string): Promise<ServerResponse | Outcome> {
    const late = Promise.withResolvers<Outcome>();
    const errorMessage = `Init timed out after ${INIT_TIMEOUT_MS / 1000} seconds`;
    const timer = setTimeout(
      () => late.resolve({ error: { errorType: 'Sandbox.Timedout', errorMessage } }),
      INIT_TIMEOUT_MS,
    );
    try {
      return await Promise.race([waiting.promise, initFailed.promise, exited(requestId), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  let closing: Promise<void> | undefined;
  async function close() {
    child.kill('SIGKILL');
    await closed;
    await api[Symbol.asyncDispose]();
  }

  return {
    logs,
    get alive() {
      return child.exitCode === null && child.signalCode === null;
    },
    async invoke({ requestId, headers, event }, onStart) {
      const next = await waitForCode(requestId);
      if ('error' in next || 'payload' in next) {
        child.kill('SIGKILL');
        await closed;
        return next;
      }
      const answered = Promise.withResolvers<Outcome>();
      waiting = Promise.withResolvers();
      printed = Promise.withResolvers();
      current = { requestId, answered, read: 0 };
      onStart();
      answer(next, 200, event, headers);
      const ended = exited(requestId);
      const outcome = await Promise.race([answered.promise, ended]);
      await Promise.race([printed.promise, ended]);
      current = undefined;
      return outcome;
    },
    kill(signal) {
      child.kill(signal);
    },
    close: () => (closing ??= close()),
  };
}
