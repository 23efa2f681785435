import { hash, randomUUID } from 'node:crypto';
import { answer, bodyOf, type Served, serve } from './serve.ts';

export interface LocalQueue extends Served {
  /** The bodies of the messages, in the order of arrival. */
  messages: string[];
  /** While it is set, every message is refused with this status. */
  refuse: number | undefined;
}

/** An SQS queue for AWS's own SDK, which takes the endpoint from the queue's URL. It knows SendMessage and deletes nothing. */
export async function startQueue(): Promise<LocalQueue> {
  const messages: string[] = [];
  const served = await serve(async (request, response) => {
    const body = await bodyOf(request);
    const json = { 'content-type': 'application/x-amz-json-1.0', 'x-amzn-requestid': randomUUID() };
    const refuse = (status: number, type: string, message: string) =>
      answer(response, status, { __type: type, message }, json);
    if (request.headers['x-amz-target'] !== 'AmazonSQS.SendMessage') {
      return refuse(400, 'com.amazonaws.sqs#UnsupportedOperation', 'this queue only knows SendMessage');
    }
    if (queue.refuse !== undefined) return refuse(queue.refuse, 'com.amazonaws.sqs#Refused', 'refused');
    const { MessageBody } = JSON.parse(body);
    messages.push(MessageBody);
    answer(response, 200, { MessageId: randomUUID(), MD5OfMessageBody: hash('md5', MessageBody) }, json);
  });
  const queue: LocalQueue = { ...served, url: `${served.url}/000000000000/dead-letters`, messages, refuse: undefined };
  return queue;
}
