import type { LambdaClientConfig } from '@aws-sdk/client-lambda';
import type { Backfill, Control } from '../../lib/event.ts';
import type { Result } from '../../lib/run/result.ts';
import type { Status } from '../../lib/run/status.ts';
import { Refusal } from './refusal.ts';

/** The functions that operators invoke; each method invokes one and returns its answer. @throws Refusal */
export interface Functions {
  backfill(event: Partial<Backfill>): Promise<Result>;
  control(event: Control): Promise<Status>;
}

/**
 * Invokes through Lambda's API.
 * @param nameOf maps the name of a function in serverless.yml to its name in Lambda
 */
export async function connect(config: LambdaClientConfig, nameOf: (name: string) => string): Promise<Functions> {
  const { InvokeCommand, LambdaClient } = await import('@aws-sdk/client-lambda');
  // A second attempt could start a second run.
  const client = new LambdaClient({ ...config, maxAttempts: 1 });

  async function invoke<T>(name: string, event: object): Promise<T> {
    const command = new InvokeCommand({ FunctionName: nameOf(name), Payload: Buffer.from(JSON.stringify(event)) });
    const { FunctionError, Payload } = await client.send(command).catch((cause: Error) => {
      throw new Refusal(`${nameOf(name)} could not be invoked: ${cause.name}: ${cause.message}`, { cause });
    });
    const answer = parse(name, Payload?.transformToString() || 'null');
    if (FunctionError) throw new Refusal(`${name} failed: ${answer?.errorType}: ${answer?.errorMessage}`);
    return answer;
  }

  function parse(name: string, payload: string) {
    try {
      return JSON.parse(payload);
    } catch {
      throw new Refusal(`${name} answered with ${payload.length} characters that are not JSON`);
    }
  }

  return { backfill: (event) => invoke('backfill', event), control: (event) => invoke('control', event) };
}
