import { carry } from '../network.ts';
import { current } from '../process.ts';
import { worldOf } from '../world.ts';

/** Instead of AWS's client for Lambda: what a run sends is invoked in the same world. */
export class InvokeCommand {
  readonly input: { FunctionName: string; Payload: string };
  constructor(input: { FunctionName: string; Payload: string }) {
    this.input = input;
  }
}

export class LambdaClient {
  send({ input }: InvokeCommand, { abortSignal }: { abortSignal: AbortSignal }): Promise<object> {
    const process = current()!;
    const world = worldOf(process);
    const event = JSON.parse(input.Payload);
    if (input.FunctionName !== 'sim-sync') world.violation(`${process.name} invokes ${input.FunctionName}`);
    world.sent.set(process.name, [...(world.sent.get(process.name) ?? []), event]);
    return new Promise((resolve, reject) => {
      abortSignal.addEventListener('abort', () => reject(abortSignal.reason));
      carry(
        process,
        'lambda',
        () => {
          world.invoked(process, event);
          return {};
        },
        resolve as (answer: object | symbol) => void,
      );
    });
  }
}
