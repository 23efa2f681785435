import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { guard } from '../guard.ts';
import { readOutput } from './output.ts';
import { type Invocation, type Outcome, startRuntimeApi } from './runtime-api.ts';

/** One execution environment: a process with the function's code, and its own Runtime API. */
export interface Environment {
  readonly alive: boolean;
  /** The lines it has printed; the reader may empty it. */
  readonly logs: string[];
  /** Hands over the event once the code is loaded. Resolves when the process has answered or ended. */
  invoke(invocation: Invocation, onStart: () => void): Promise<Outcome>;
  kill(signal: NodeJS.Signals): void;
  /** Kills the process, waits for its end and closes its Runtime API. */
  close(): Promise<void>;
}

/** Lambda's own limit for loading the code. */
const INIT_TIMEOUT_MS = 10_000;
const INIT_TIMED_OUT: Outcome = {
  error: {
    errorType: 'Sandbox.Timedout',
    errorMessage: `Init timed out after ${INIT_TIMEOUT_MS / 1000} seconds`,
  },
};

const BOOTSTRAP = join(import.meta.dirname, 'bootstrap.ts');

interface Options {
  folder: string;
  handler: string;
  name: string;
  memoryMb: number;
  /** The function's own variables. */
  env: Record<string, string>;
  onLine: (line: string) => void;
}

/** Starts the process. It inherits nothing from this process but PATH. */
export async function startEnvironment(options: Options): Promise<Environment> {
  const { folder, memoryMb, onLine } = options;
  const api = await startRuntimeApi();
  const child = spawn(process.execPath, [`--max-old-space-size=${memoryMb}`, BOOTSTRAP], {
    cwd: folder,
    env: { ...variables(options), AWS_LAMBDA_RUNTIME_API: api.host, LAMBDA_TASK_ROOT: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Detached: Ctrl-C in the terminal is for the parent, which lets a run finish.
    detached: true,
  });
  await once(child, 'spawn');
  const endGuard = guard(child.pid!);
  const closed = once(child, 'close').then(([code, signal]) => {
    endGuard();
    return signal ? `signal: ${signal}` : `exit status ${code}`;
  });
  const output = readOutput(child, onLine);
  let closing: Promise<void> | undefined;

  async function failureToLoad(exited: Promise<Outcome>): Promise<Outcome | undefined> {
    const settled = new AbortController();
    const timeOut = sleep(INIT_TIMEOUT_MS, INIT_TIMED_OUT, { signal: settled.signal });
    try {
      return await Promise.race([api.loaded(), exited, timeOut]);
    } finally {
      settled.abort();
    }
  }

  async function close() {
    child.kill('SIGKILL');
    await closed;
    await api[Symbol.asyncDispose]();
  }

  return {
    logs: output.logs,
    get alive() {
      return child.exitCode === null && child.signalCode === null;
    },
    async invoke(invocation, onStart) {
      const { requestId } = invocation;
      const exited = closed.then((how) => exitError(requestId, how));
      const failure = await failureToLoad(exited);
      if (failure) {
        child.kill('SIGKILL');
        await closed;
        return failure;
      }
      const printed = output.endOf(requestId);
      onStart();
      const outcome = await Promise.race([api.send(invocation), exited]);
      await Promise.race([printed, exited]);
      return outcome;
    },
    kill(signal) {
      child.kill(signal);
    },
    close: () => (closing ??= close()),
  };
}

/** The variables that Lambda sets, and the function's own. */
const variables = ({ handler, name, memoryMb, env }: Options) => ({
  PATH: process.env.PATH ?? '',
  TZ: 'UTC',
  LANG: 'en_US.UTF-8',
  _HANDLER: handler,
  AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
  AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
  AWS_LAMBDA_FUNCTION_NAME: name,
  AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMb),
  AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${name}`,
  AWS_LAMBDA_LOG_STREAM_NAME: randomUUID(),
  ...env,
});

const exitError = (requestId: string, how: string): Outcome => ({
  error: {
    errorType: 'Runtime.ExitError',
    errorMessage: `RequestId: ${requestId} Error: Runtime exited with error: ${how}`,
  },
});
