import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Environment, type FunctionError, type Outcome, startEnvironment } from './environment.ts';

interface Options {
  /** The unpacked artifact. */
  folder: string;
  /** As in serverless.yml: `dist/sync.handler` is the export `handler` of `dist/sync.js`. */
  handler: string;
  name: string;
  env?: Record<string, string>;
  timeoutMs?: number;
  memoryMb?: number;
  /** Is told of every line that any invocation prints. */
  onLog?: (line: string) => void;
}

export interface InvokeResult {
  /** What the handler returned. */
  payload?: unknown;
  /** What it threw, or how its process ended. */
  error?: FunctionError;
  /** The lines it printed, those of loading its code included. */
  logs: string[];
  requestId: string;
  coldStart: boolean;
  /** From the moment the code had the event. */
  durationMs: number;
}

export interface LocalFunction extends AsyncDisposable {
  /** One synchronous invocation. Whatever the function does, the promise is fulfilled. */
  invoke(event: unknown, options?: { clientContext?: unknown }): Promise<InvokeResult>;
  /**
   * Sends SIGTERM to all processes, so that what runs can save and stop, and waits for it at most `boundMs`. Then all
   * processes are killed; the function cannot be invoked any more.
   */
  drain(boundMs: number): Promise<void>;
}

/**
 * A Lambda function on this machine: the artifact runs in processes of its own behind the Runtime API. A process is used
 * again by the next invocation; an invocation that finds none idle starts one. One that exceeds its time is killed.
 */
export function createFunction(options: Options): LocalFunction {
  const { folder, handler, name, env = {}, timeoutMs = 3000, memoryMb = 128, onLog } = options;
  const arn = `arn:aws:lambda:${env.AWS_REGION ?? 'us-east-1'}:000000000000:function:${name}`;
  const idle: Environment[] = [];
  const all = new Set<Environment>();
  const running = new Set<Promise<InvokeResult>>();
  let stopped = false;

  async function startCold(): Promise<Environment> {
    const environment = await startEnvironment({
      folder,
      memoryMb,
      env: {
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
      },
      onLine: (line) => onLog?.(line),
    });
    all.add(environment);
    return environment;
  }

  async function invoke(event: unknown, clientContext: unknown): Promise<InvokeResult> {
    const warm = idle.pop();
    const environment = warm ?? (await startCold());
    if (stopped) {
      await retire(environment);
      throw new Error(`function ${name} was stopped`);
    }
    const requestId = randomUUID();
    let startedMs = performance.now();
    const overtime = Promise.withResolvers<'overtime'>();
    let timer: NodeJS.Timeout | undefined;
    const headers = {
      'lambda-runtime-aws-request-id': requestId,
      'lambda-runtime-invoked-function-arn': arn,
      'lambda-runtime-trace-id': `Root=1-${Math.floor(Date.now() / 1000).toString(16)}-${randomUUID().replaceAll('-', '').slice(8)};Sampled=0`,
      'lambda-runtime-deadline-ms': String(Date.now() + timeoutMs),
      ...(clientContext === undefined ? {} : { 'lambda-runtime-client-context': JSON.stringify(clientContext) }),
    };
    const answered = environment.invoke({ requestId, headers, event }, () => {
      startedMs = performance.now();
      headers['lambda-runtime-deadline-ms'] = String(Date.now() + timeoutMs);
      timer = setTimeout(() => overtime.resolve('overtime'), timeoutMs);
    });
    const answer = await Promise.race([answered, overtime.promise]);
    clearTimeout(timer);
    const durationMs = performance.now() - startedMs;
    if (answer === 'overtime' || !environment.alive) await retire(environment);
    else if (!stopped) idle.push(environment);
    const outcome = answer === 'overtime' ? timedOut(requestId, timeoutMs) : answer;
    return { ...outcome, logs: environment.logs.splice(0), requestId, coldStart: !warm, durationMs };
  }

  async function retire(environment: Environment) {
    all.delete(environment);
    await environment.close();
  }

  async function stop() {
    stopped = true;
    idle.length = 0;
    await Promise.all([...all].map(retire));
    await Promise.allSettled(running);
  }

  return {
    async invoke(event, { clientContext } = {}) {
      if (stopped) throw new Error(`function ${name} was stopped`);
      const invocation = invoke(event, clientContext);
      running.add(invocation);
      try {
        return await invocation;
      } finally {
        running.delete(invocation);
      }
    },
    async drain(boundMs) {
      stopped = true;
      for (const environment of all) environment.kill('SIGTERM');
      const bound = new AbortController();
      await Promise.race([
        Promise.allSettled(running),
        sleep(boundMs, undefined, { signal: bound.signal }).catch(() => {}),
      ]);
      bound.abort();
      await stop();
    },
    [Symbol.asyncDispose]: stop,
  };
}

function timedOut(requestId: string, timeoutMs: number): Outcome {
  const errorMessage = `RequestId: ${requestId} Error: Task timed out after ${(timeoutMs / 1000).toFixed(2)} seconds`;
  return { error: { errorType: 'Sandbox.Timedout', errorMessage } };
}
