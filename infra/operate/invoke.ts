import type { LambdaClientConfig } from '@aws-sdk/client-lambda';
import { Refusal } from './refusal.ts';

/** Invokes a function and waits for what it answers. @throws Refusal */
export type Invoke = (name: 'backfill' | 'control', event: object) => Promise<unknown>;

/**
 * Invokes by Lambda's API.
 * @param config of the client; with the `endpoint` of `npm run dev` it works there
 * @param nameOf gives the name in Lambda of one of this service's functions
 */
export async function createInvoke(config: LambdaClientConfig, nameOf: (name: string) => string): Promise<Invoke> {
  const { InvokeCommand, LambdaClient } = await import('@aws-sdk/client-lambda');
  // A second attempt would be a second run.
  const client = new LambdaClient({ ...config, maxAttempts: 1 });

  return async (name, event) => {
    const command = new InvokeCommand({ FunctionName: nameOf(name), Payload: Buffer.from(JSON.stringify(event)) });
    const { FunctionError, Payload } = await client.send(command).catch((cause: Error) => {
      throw new Refusal(`${nameOf(name)} could not be invoked: ${cause.name}: ${cause.message}`, { cause });
    });
    const answer = JSON.parse(Payload?.transformToString() || 'null');
    if (FunctionError) throw new Refusal(`${name} failed: ${answer?.errorType}: ${answer?.errorMessage}`);
    return answer;
  };
}
