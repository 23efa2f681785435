import type { LambdaClientConfig } from '@aws-sdk/client-lambda';
import type { Backfill, Control, StartBackfill } from '../../lib/event.ts';
import type { Result } from '../../lib/run/result.ts';
import type { Status } from '../../lib/run/status.ts';
import { Refusal } from '../terminal/refusal.ts';

/** The functions that operators invoke; each method invokes one and returns its answer. @throws Refusal */
export interface Functions {
  backfill(event: Partial<Backfill> | StartEvent): Promise<Result>;
  control(event: Control): Promise<Status>;
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

  async function invoke<T>(kind: keyof Functions, name: string, event: object): Promise<T> {
    const command = new InvokeCommand({ FunctionName: name, Payload: Buffer.from(JSON.stringify(event)) });
    const { FunctionError, Payload } = await client.send(command).catch((cause: Error) => {
      throw new Refusal(`${name} could not be invoked: ${cause.name}: ${cause.message}`, { cause });
    });
    const answer = parse(kind, Payload?.transformToString() || 'null');
    if (FunctionError) throw new Refusal(`${kind} failed: ${answer?.errorType}: ${answer?.errorMessage}`);
    return answer;
  }

  return (nameOf) => ({
    backfill: (event) => invoke('backfill', nameOf('backfill'), event),
    control: (event) => invoke('control', nameOf('control'), event),
  });
}

function parse(kind: string, payload: string) {
  try {
    return JSON.parse(payload);
  } catch {
    throw new Refusal(`${kind} answered with ${payload.length} characters that are not JSON`);
  }
}
