import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createFunction } from '../../infra/local/lambda/function.ts';

const HANDLERS = `
let invocations = 0;
export const echo = async (event, context) => ({
  event,
  invocations: ++invocations,
  pid: process.pid,
  remainingMs: context.getRemainingTimeInMillis(),
  context,
  env: process.env,
});
export const meet = async (event) => {
  await new Promise((resolve) => setTimeout(resolve, event.ms));
  return process.pid;
};
export const print = async () => {
  console.log('first');
  console.error('a complaint');
  process.stdout.write('no line end');
};
export const fail = async () => {
  throw new TypeError('as asked');
};
export const hang = async () => new Promise((resolve) => setTimeout(resolve, 60_000));
export const spin = async () => {
  console.log('begun');
  for (;;);
};
export const crash = async () => {
  console.log('last words');
  process.exit(3);
};
export const circular = async () => {
  const loop = {};
  loop.loop = loop;
  return loop;
};
let stop;
const stopped = new Promise((resolve) => (stop = resolve));
process.once('SIGTERM', stop);
export const drains = async () => {
  console.log('begun');
  await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, 60_000))]);
  return 'drained';
};
`;

type Options = Omit<Parameters<typeof createFunction>[0], 'folder' | 'handler' | 'name'>;

async function withFunction(
  handler: string,
  options: Options,
  use: (fn: ReturnType<typeof createFunction>) => Promise<void>,
) {
  const folder = await mkdtemp(join(tmpdir(), 'solotick-runtime-'));
  try {
    await mkdir(join(folder, 'dist'));
    await writeFile(join(folder, 'dist/package.json'), '{"type":"module"}');
    await writeFile(join(folder, 'dist/main.js'), HANDLERS);
    await writeFile(join(folder, 'dist/broken.js'), "throw new RangeError('not today')");
    await using fn = createFunction({ folder, handler, name: 'under-test', ...options });
    await use(fn);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('the first invocation is a cold start, and the next one uses the warm process', () =>
  withFunction('dist/main.echo', {}, async (fn) => {
    const first = await fn.invoke({ n: 1 });
    const second = await fn.invoke({ n: 2 });
    const [one, two] = [first.payload, second.payload] as { event: object; invocations: number; pid: number }[];
    assert.deepEqual([first.coldStart, second.coldStart], [true, false]);
    assert.deepEqual([one?.event, two?.event], [{ n: 1 }, { n: 2 }]);
    assert.deepEqual([one?.invocations, two?.invocations], [1, 2]);
    assert.equal(one?.pid, two?.pid);
    assert.notEqual(first.requestId, second.requestId);
  }));

test('the handler sees its deadline, its request, its function, and only the environment variables of the function', () =>
  withFunction('dist/main.echo', { timeoutMs: 30_000, memoryMb: 256, env: { GIVEN: 'yes' } }, async (fn) => {
    process.env.NOT_GIVEN = 'secret';
    const { payload, requestId } = await fn.invoke({}, { clientContext: { custom: { by: 'hand' } } });
    delete process.env.NOT_GIVEN;
    const { remainingMs, context, env } = payload as {
      remainingMs: number;
      context: Record<string, unknown>;
      env: NodeJS.ProcessEnv;
    };
    assert.ok(remainingMs > 0 && remainingMs <= 30_000, `${remainingMs} ms remain`);
    assert.equal(context.awsRequestId, requestId);
    assert.equal(context.functionName, 'under-test');
    assert.equal(context.memoryLimitInMB, '256');
    assert.match(String(context.invokedFunctionArn), /^arn:aws:lambda:.*:function:under-test$/);
    assert.deepEqual(context.clientContext, { custom: { by: 'hand' } });
    assert.equal(env.GIVEN, 'yes');
    assert.equal(env.AWS_LAMBDA_FUNCTION_NAME, 'under-test');
    assert.equal(env.NOT_GIVEN, undefined);
    assert.equal(env.HOME, undefined);
  }));

test('an invocation without an idle process starts a new one', () =>
  withFunction('dist/main.meet', {}, async (fn) => {
    const together = await Promise.all([fn.invoke({ ms: 300 }), fn.invoke({ ms: 300 })]);
    assert.deepEqual(
      together.map((result) => result.coldStart),
      [true, true],
    );
    assert.notEqual(together[0].payload, together[1].payload);
    const later = await fn.invoke({ ms: 0 });
    assert.equal(later.coldStart, false);
  }));

test('the logs of an invocation are complete when it ends', () => {
  const seen: string[] = [];
  return withFunction('dist/main.print', { onLog: (line) => seen.push(line) }, async (fn) => {
    for (let n = 0; n < 3; n++) {
      const { logs, payload } = await fn.invoke({});
      assert.deepEqual(logs.toSorted(), ['a complaint', 'first', 'no line end']);
      assert.equal(payload, null);
    }
    assert.equal(seen.length, 9);
  });
});

test('an error of the handler is the answer, and the process stays in use', () =>
  withFunction('dist/main.fail', {}, async (fn) => {
    const { error } = await fn.invoke({});
    assert.equal(error?.errorType, 'TypeError');
    assert.equal(error?.errorMessage, 'as asked');
    assert.equal((await fn.invoke({})).coldStart, false);
  }));

test('a result that is not JSON is an error of the invocation', () =>
  withFunction('dist/main.circular', {}, async (fn) => {
    assert.match((await fn.invoke({})).error?.errorMessage ?? '', /circular/);
  }));

for (const handler of ['hang', 'spin']) {
  test(`an invocation that exceeds its time is killed and answered as Lambda does (${handler})`, () =>
    withFunction(`dist/main.${handler}`, { timeoutMs: 200 }, async (fn) => {
      const { error, requestId } = await fn.invoke({});
      assert.equal(error?.errorType, 'Sandbox.Timedout');
      assert.equal(error?.errorMessage, `RequestId: ${requestId} Error: Task timed out after 0.20 seconds`);
      assert.equal((await fn.invoke({})).coldStart, true);
    }));
}

test('a crash is an error of the invocation, and the next one gets a new process', () =>
  withFunction('dist/main.crash', {}, async (fn) => {
    const { error, logs, requestId } = await fn.invoke({});
    assert.equal(error?.errorType, 'Runtime.ExitError');
    assert.equal(error?.errorMessage, `RequestId: ${requestId} Error: Runtime exited with error: exit status 3`);
    assert.deepEqual(logs, ['last words']);
    assert.equal((await fn.invoke({})).coldStart, true);
  }));

test('code that cannot be loaded is an error of the invocation', async () => {
  await withFunction('dist/broken.handler', {}, async (fn) => {
    const { error } = await fn.invoke({});
    assert.deepEqual([error?.errorType, error?.errorMessage], ['RangeError', 'not today']);
  });
  await withFunction('dist/absent.handler', {}, async (fn) => {
    assert.equal((await fn.invoke({})).error?.errorType, 'Runtime.ImportModuleError');
  });
  await withFunction('dist/main.absent', {}, async (fn) => {
    assert.equal((await fn.invoke({})).error?.errorType, 'Runtime.HandlerNotFound');
  });
});

test('draining lets an invocation finish that handles SIGTERM', async () => {
  const begun = Promise.withResolvers<string>();
  await withFunction('dist/main.drains', { timeoutMs: 30_000, onLog: begun.resolve }, async (fn) => {
    const running = fn.invoke({});
    await begun.promise;
    await fn.drain(60_000);
    assert.equal((await running).payload, 'drained');
    await assert.rejects(fn.invoke({}), /was stopped/);
  });
});

test('draining kills an invocation that ignores SIGTERM', async () => {
  const begun = Promise.withResolvers<string>();
  await withFunction('dist/main.spin', { timeoutMs: 30_000, onLog: begun.resolve }, async (fn) => {
    const running = fn.invoke({});
    await begun.promise;
    await fn.drain(100);
    assert.equal((await running).error?.errorType, 'Runtime.ExitError');
  });
});
