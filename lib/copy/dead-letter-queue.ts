import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';

/**
 * Opens a queue to send to. A module of its own, which hardly any run loads.
 * @returns what sends one message; it rejects when SQS has not taken it, or when the signal fires
 */
export function openQueue(url: string, signal: AbortSignal): (body: string) => Promise<unknown> {
  const sqs = new SQSClient({
    endpoint: new URL(url).origin,
    maxAttempts: 3,
    requestHandler: { connectionTimeout: 1000, requestTimeout: 3000, throwOnRequestTimeout: true },
  });
  return (body) => sqs.send(new SendMessageCommand({ QueueUrl: url, MessageBody: body }), { abortSignal: signal });
}
