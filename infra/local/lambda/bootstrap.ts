/**
 * The main module of an execution environment: it does what AWS's runtime client does, as far as these functions need it. It
 * imports only Node's modules, because the artifact brings everything else.
 */
import { existsSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const { env } = process;
const runtimeApi = `http://${env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;

async function call(method: 'GET' | 'POST', path: string, body?: unknown) {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(`${runtimeApi}${path}`, { method }, resolve)
      .once('error', reject)
      .end(body === undefined ? undefined : JSON.stringify(body));
  });
  return { headers: response.headers, body: await text(response) };
}

function describe(error: unknown) {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return { errorType: name, errorMessage: message, trace: stack?.split('\n') ?? [] };
}

async function loadHandler(): Promise<(event: unknown, context: unknown) => unknown> {
  const dot = (env._HANDLER ?? '').lastIndexOf('.');
  const [module, name] = [env._HANDLER!.slice(0, dot), env._HANDLER!.slice(dot + 1)];
  const file = ['js', 'mjs', 'cjs'].map((ext) => join(env.LAMBDA_TASK_ROOT!, `${module}.${ext}`)).find(existsSync);
  if (!file) throw Object.assign(new Error(`Cannot find module '${module}'`), { name: 'Runtime.ImportModuleError' });
  const loaded = await import(pathToFileURL(file).href);
  const handler = loaded[name] ?? loaded.default?.[name];
  if (typeof handler === 'function') return handler;
  throw Object.assign(new Error(`${env._HANDLER} is undefined or not exported`), { name: 'Runtime.HandlerNotFound' });
}

function contextOf(headers: IncomingMessage['headers']) {
  const deadlineMs = Number(headers['lambda-runtime-deadline-ms']);
  const clientContext = headers['lambda-runtime-client-context'];
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: String(headers['lambda-runtime-aws-request-id']),
    clientContext: clientContext && JSON.parse(String(clientContext)),
    getRemainingTimeInMillis: () => Math.max(deadlineMs - Date.now(), 0),
  };
}

let handler: Awaited<ReturnType<typeof loadHandler>>;
try {
  handler = await loadHandler();
} catch (error) {
  await call('POST', '/init/error', describe(error));
  process.exit(1);
}

for (;;) {
  // If the Runtime API is gone, nobody will invoke this process again.
  const { headers, body } = await call('GET', '/invocation/next').catch(() => process.exit());
  env._X_AMZN_TRACE_ID = String(headers['lambda-runtime-trace-id'] ?? '');
  const context = contextOf(headers);
  const path = `/invocation/${context.awsRequestId}`;
  try {
    const result = await handler(JSON.parse(body), context);
    await call('POST', `${path}/response`, result ?? null);
  } catch (error) {
    await call('POST', `${path}/error`, describe(error));
  }
  // Writes to pipes are synchronous, so whoever reads this marker has read everything that the invocation printed.
  for (const stream of [process.stdout, process.stderr]) stream.write(`\nEND RequestId: ${context.awsRequestId}\n`);
}
