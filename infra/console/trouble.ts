import { FunctionFailure } from '../operate/functions.ts';
import type { Trouble } from './api.ts';

/** Names of errors of AWS and its SDK that say that nobody is signed in, or not any more. */
const CREDENTIALS = new Set([
  ...['CredentialsProviderError', 'TokenProviderError', 'AWS_CREDENTIALS_NOT_FOUND', 'UNRECOGNIZED_AWS_PROFILE'],
  ...[
    'ExpiredToken',
    'ExpiredTokenException',
    'RequestExpired',
    'UnrecognizedClientException',
    'UnauthorizedException',
  ],
  ...['InvalidClientTokenId', 'InvalidSignatureException', 'MissingAuthenticationToken'],
]);

const DENIED = new Set(['AccessDeniedException', 'AccessDenied', 'OptInRequired']);

/** Codes and names of errors of a connection. */
const UNREACHABLE = new Set([
  ...[
    'ECONNREFUSED',
    'ECONNRESET',
    'ENOTFOUND',
    'EAI_AGAIN',
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ENETDOWN',
    'EPIPE',
  ],
  ...['TimeoutError', 'NetworkingError', 'UND_ERR_CONNECT_TIMEOUT'],
]);

interface Context {
  local: boolean;
  /** Whether nobody waits for the answer any more. */
  late?: boolean;
  /** An action is done once; a status is asked for again and again. */
  asked: 'action' | 'status';
}

const SIGN_IN = {
  status:
    'Sign in again, for example by "aws sso login". This page goes on by itself then; if it does not, start the console again.',
  action: 'Sign in again, for example by "aws sso login", and then ask for it again.',
};

const NEXT = {
  status: 'This page asks again by itself.',
  action: 'It may have been done all the same: look at the job before you ask for it again.',
};

/** What went wrong when a function was invoked, told apart, each with a sentence of what to do. */
export function troubleOf(error: unknown, { local, late = false, asked }: Context): Trouble {
  const chain = [...causes(error)];
  const names = chain.flatMap(({ name, code }) => [name, code].filter((text) => typeof text === 'string'));
  const message = chain[0]?.message ?? String(error);
  const is = (known: Set<string>) => names.some((name) => known.has(name));
  if (error instanceof FunctionFailure) {
    return { kind: 'failed', message: `${error.errorType}: ${error.errorMessage}`, advice: adviceFor(error) };
  }
  if (is(CREDENTIALS)) {
    return {
      kind: 'credentials',
      message: `AWS credentials have expired or are not there: ${message}`,
      advice: SIGN_IN[asked],
    };
  }
  if (is(DENIED)) {
    const advice = 'Use credentials that may invoke the functions (lambda:InvokeFunction).';
    return { kind: 'denied', message: `AWS does not allow it: ${message}`, advice };
  }
  if (late) {
    const advice = `It may be starting, or AWS or etcd may not answer. ${NEXT[asked]}`;
    return { kind: 'late', message: 'The function has not answered in time.', advice };
  }
  if (is(UNREACHABLE)) return { kind: 'unreachable', ...unreachable(local, message, asked) };
  if (names.includes('ResourceNotFoundException')) {
    const advice = 'Deploy the stage, or look whether --stage and --region are those of the deployment.';
    return { kind: 'missing', message: `The function is not there: ${message}`, advice };
  }
  return { kind: 'other', message, advice: NEXT[asked] };
}

const unreachable = (local: boolean, message: string, asked: Context['asked']) =>
  local
    ? {
        message: `npm run dev does not answer: ${message}`,
        advice: 'Start "npm run dev" again; it prints the address of a new console.',
      }
    : {
        message: `AWS cannot be reached: ${message}`,
        advice: `Look at the network, the VPN and --region. ${NEXT[asked]}`,
      };

function adviceFor({ errorType }: FunctionFailure): string {
  if (errorType === 'LockServiceError') return 'Look at etcd: its endpoints, the network between, its certificates.';
  if (errorType === 'EventError') return 'Correct what was asked for; nothing was changed.';
  if (/^(CredentialsError|SecretError)$/.test(errorType)) return "Look at the job's secret.";
  if (/^Sandbox\.|Timedout/.test(errorType))
    return 'The function took too long: raise timeoutSeconds, or look at etcd.';
  return "The function's log has more; infra/README.md lists what to do about each error.";
}

/** The error, its cause, the cause of that, and so on. */
function* causes(error: unknown): Generator<{ name?: string; code?: string; message?: string }> {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    yield at as Error & { code?: string };
    if (at instanceof AggregateError) yield* at.errors.flatMap((one) => [...causes(one)]);
  }
}
