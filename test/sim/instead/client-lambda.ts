import { carry } from '../network.ts';
import { current } from '../process.ts';
import { worldOf } from '../world.ts';

/** Instead of AWS's client for Lambda: a run that wants to be continued is invoked again in the same world. */
export class InvokeCommand {
  readonly input: { Payload: string };
  constructor(input: { Payload: string }) {
    this.input = input;
  }
}

export class LambdaClient {
  send({ input }: InvokeCommand, { abortSignal }: { abortSignal: AbortSignal }): Promise<object> {
    const process = current()!;
    return new Promise((resolve, reject) => {
      abortSignal.addEventListener('abort', () => reject(abortSignal.reason));
      carry(
        process,
        'lambda',
        () => {
          worldOf(process).invoked(JSON.parse(input.Payload));
          return {};
        },
        resolve as (answer: object | symbol) => void,
      );
    });
  }
}
