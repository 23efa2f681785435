import { carry, UNREACHABLE } from '../network.ts';
import { current } from '../process.ts';
import { worldOf } from '../world.ts';

/** Instead of AWS's client for SQS. */
export class SendMessageCommand {
  readonly input: { MessageBody: string };
  constructor(input: { MessageBody: string }) {
    this.input = input;
  }
}

export class SQSClient {
  send({ input }: SendMessageCommand, { abortSignal }: { abortSignal: AbortSignal }): Promise<object> {
    const process = current()!;
    return new Promise((resolve, reject) => {
      const timer = process.setTimer(() => end(new Error('the queue did not answer')), 3000, false);
      const call = carry(
        process,
        'queue',
        () => {
          worldOf(process).deadLetters.add(JSON.parse(input.MessageBody).id);
          return {};
        },
        (answer) => end(answer === UNREACHABLE ? new Error('ECONNREFUSED') : answer),
      );
      const abort = () => end(abortSignal.reason);
      abortSignal.addEventListener('abort', abort);
      function end(outcome: object | Error) {
        timer.clear();
        call.hangUp();
        abortSignal.removeEventListener('abort', abort);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      }
    });
  }
}
