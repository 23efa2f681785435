import type { LambdaClientConfig } from '@aws-sdk/client-lambda';
import type { Backfill, StartBackfill } from '../../lib/backfill-event.ts';
import type { Control, Tick } from '../../lib/event.ts';
import type { Result } from '../../lib/run/result.ts';
import type { Status } from '../../lib/run/status.ts';
import { Refusal } from '../terminal/refusal.ts';

/**
 * The functions that operators invoke; each method invokes one and returns its answer. An invocation goes on in the cloud
 * when `signal` aborts, but nobody waits for it any more. @throws Refusal, FunctionFailure
 */
export interface Functions {
  sync(event: Partial<Tick>, signal?: AbortSignal): Promise<Result>;
  backfill(event: Partial<Backfill> | StartEvent, signal?: AbortSignal): Promise<Result>;
  control(event: Control, signal?: AbortSignal): Promise<Status>;
}

/** A function was invoked, and threw. */
export class FunctionFailure extends Refusal {
  readonly errorType: string;
  readonly errorMessage: string;

  constructor(kind: string, { errorType = 'Error', errorMessage = '' }: { errorType?: string; errorMessage?: string }) {
    super(`${kind} failed: ${errorType}: ${errorMessage}`);
    this.errorType = errorType;
    this.errorMessage = errorMessage;
  }
}

/** Starts a backfill that goes on by itself. */
type StartEvent = Partial<StartBackfill> & { detach: true };

/** Maps a kind of function to its name in Lambda. */
type Names = (kind: keyof Functions) => string;

/** Invokes through Lambda's API. @returns what gives the functions of these names */
export async function connect(config: LambdaClientConfig): Promise<(nameOf: Names) => Functions> {
  const { InvokeCommand, LambdaClient } = await import('@aws-sdk/client-lambda');
  // A second attempt could start a second run.
  const client = new LambdaClient({ ...config, maxAttempts: 1 });

  async function invoke<T>(kind: keyof Functions, name: string, event: object, signal?: AbortSignal): Promise<T> {
    const command = new InvokeCommand({ FunctionName: name, Payload: Buffer.from(JSON.stringify(event)) });
    const options = signal && { abortSignal: signal };
    const { FunctionError, Payload } = await client.send(command, options).catch((cause: Error) => {
      throw new Refusal(`${name} could not be invoked: ${cause.name}: ${cause.message}`, { cause });
    });
    const answer = parse(kind, Payload?.transformToString() || 'null');
    if (FunctionError) throw new FunctionFailure(kind, answer ?? {});
    return answer;
  }

  return (nameOf) => ({
    sync: (event, signal) => invoke('sync', nameOf('sync'), event, signal),
    backfill: (event, signal) => invoke('backfill', nameOf('backfill'), event, signal),
    control: (event, signal) => invoke('control', nameOf('control'), event, signal),
  });
}

function parse(kind: string, payload: string) {
  try {
    return JSON.parse(payload);
  } catch {
    throw new Refusal(`${kind} answered with ${payload.length} characters that are not JSON`);
  }
}
