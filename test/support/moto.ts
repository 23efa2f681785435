import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

/** Tools that some tests need, and how to find out whether they are installed. */
const TOOLS = {
  moto: { probe: ['python3', '-c', 'import moto.server, boto3'], missing: 'python3 cannot import moto' },
  'cfn-lint': { probe: ['cfn-lint', '--version'], missing: 'there is no cfn-lint on PATH' },
} as const;

/**
 * Returns why a test that needs this tool is skipped, or false if the tool is installed.
 * @throws Error if it is missing and `CI` is `true`, where it is required
 */
export async function skipWithout(tool: keyof typeof TOOLS): Promise<string | false> {
  const { probe, missing } = TOOLS[tool];
  const [command, ...args] = probe;
  const installed = await promisify(execFile)(command, args).then(
    () => true,
    () => false,
  );
  if (installed) return false;
  const reason = `${missing}: pip install -r .github/requirements.txt`;
  if (process.env.CI === 'true') throw new Error(reason);
  return reason;
}

export interface Moto extends AsyncDisposable {
  url: string;
}

/** The environment of its clients: its address, credentials that it does not check, and no settings from files. */
export const awsEnv = (url: string) => ({
  AWS_ENDPOINT_URL: url,
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_EC2_METADATA_DISABLED: 'true',
});

/**
 * Starts moto's server with further resources: test/support/moto/server.py. It ends with this process, even after a SIGKILL.
 * @param invokeUrl serves Lambda's Invoke API, to which the server forwards the invocations of deployed functions
 */
export async function startMoto(invokeUrl: string): Promise<Moto> {
  const { PATH, HOME } = process.env;
  const child = spawn('python3', [join(import.meta.dirname, 'moto/server.py'), invokeUrl], {
    env: { PATH, HOME, PYTHONDONTWRITEBYTECODE: '1', ...awsEnv('') },
    // Its tracebacks explain the failures of the test.
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  const [url] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    closed.then(() => Promise.reject(new Error('moto ended before it served anything'))),
  ]);
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}
