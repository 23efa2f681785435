import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Environment, startEnvironment } from './environment.ts';
import type { FunctionError, Outcome } from './runtime-api.ts';

interface Options {
  /** The unpacked artifact. */
  folder: string;
  /** As in serverless.yml: `dist/sync.handler` is the export `handler` of `dist/sync.js`. */
  handler: string;
  name: string;
  env?: Record<string, string>;
  timeoutMs?: number;
  memoryMb?: number;
  /** Receives every line that an invocation prints. */
  onLog?: (line: string) => void;
}

export interface InvokeResult {
  /** What the handler returned. */
  payload?: unknown;
  /** What it threw, or how its process ended. */
  error?: FunctionError;
  /** The lines it printed, including those from loading its code. */
  logs: string[];
  requestId: string;
  coldStart: boolean;
  /** From the moment the code received the event. */
  durationMs: number;
}

export interface LocalFunction extends AsyncDisposable {
  /**
   * Makes one synchronous invocation. Resolves whatever the function does.
   * @param options.requestId of an event that is delivered again
   * @throws Error if the function was stopped
   */
  invoke(event: unknown, options?: { clientContext?: unknown; requestId?: string }): Promise<InvokeResult>;
  /**
   * Sends SIGTERM to all processes, so that running invocations can save and end, and waits for them up to `boundMs`. Then
   * it kills all processes; the function cannot be invoked again.
   */
  drain(boundMs: number): Promise<void>;
}

/**
 * A Lambda function on this machine: the artifact runs in its own processes behind the Runtime API. An invocation uses an
 * idle process again, or starts one if there is none. A process that exceeds its time is killed.
 */
export function createFunction(options: Options): LocalFunction {
  const { folder, handler, name, env = {}, timeoutMs = 3000, memoryMb = 128, onLog } = options;
  const idle: Environment[] = [];
  const all = new Set<Environment>();
  const running = new Set<Promise<InvokeResult>>();
  let stopped = false;

  async function startCold(): Promise<Environment> {
    const onLine = (line: string) => onLog?.(line);
    const environment = await startEnvironment({ folder, handler, name, memoryMb, env, onLine });
    all.add(environment);
    return environment;
  }

  async function invoke(event: unknown, clientContext: unknown, requestId: string): Promise<InvokeResult> {
    const warm = idle.pop();
    const environment = warm ?? (await startCold());
    if (stopped) {
      await retire(environment);
      throw new Error(`function ${name} was stopped`);
    }
    const headers = headersOf(options, requestId, clientContext);
    let startedMs = performance.now();
    const overtime = Promise.withResolvers<'overtime'>();
    let timer: NodeJS.Timeout | undefined;
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
    async invoke(event, { clientContext, requestId = randomUUID() } = {}) {
      if (stopped) throw new Error(`function ${name} was stopped`);
      const invocation = invoke(event, clientContext, requestId);
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
      const drained = new AbortController();
      const bound = sleep(boundMs, undefined, { signal: drained.signal });
      await Promise.race([Promise.allSettled(running), bound]);
      drained.abort();
      await stop();
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** The headers that come with an event; the deadline is added when the invocation starts. */
function headersOf({ name, env }: Options, requestId: string, clientContext: unknown): Record<string, string> {
  const seconds = Math.floor(Date.now() / 1000).toString(16);
  return {
    'lambda-runtime-aws-request-id': requestId,
    'lambda-runtime-invoked-function-arn': `arn:aws:lambda:${env?.AWS_REGION ?? 'us-east-1'}:000000000000:function:${name}`,
    'lambda-runtime-trace-id': `Root=1-${seconds}-${randomUUID().replaceAll('-', '').slice(8)};Sampled=0`,
    ...(clientContext !== undefined && { 'lambda-runtime-client-context': JSON.stringify(clientContext) }),
  };
}

function timedOut(requestId: string, timeoutMs: number): Outcome {
  const errorMessage = `RequestId: ${requestId} Error: Task timed out after ${(timeoutMs / 1000).toFixed(2)} seconds`;
  return { error: { errorType: 'Sandbox.Timedout', errorMessage } };
}
