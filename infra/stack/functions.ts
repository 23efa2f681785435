import { logicalName } from '../stage/aws-names.ts';
import type { JobValues } from './job-values.ts';

/** The functions of every job, and what each is for. */
export const FUNCTIONS = {
  sync: 'One tick of the timer',
  backfill: 'A run by hand',
  control: 'Status, pause, resume, reset',
};

export type FunctionKind = keyof typeof FUNCTIONS;

/** How often Lambda delivers an asynchronous event again whose invocation has failed. */
export const RETRIES: Record<FunctionKind, number> = { sync: 0, backfill: 2, control: 2 };

/** Lambda's limit: six hours. */
const MAX_EVENT_AGE_SECONDS = 21_600;

/** The name of a function in serverless.yml's terms, which `serverless invoke --function` takes. */
export const functionName = (job: string, kind: FunctionKind) => `${job}-${kind}`;

/** The id that osls gives to a function in the template. */
export const functionId = (job: string, kind: FunctionKind) => `${logicalName(functionName(job, kind))}LambdaFunction`;

/** The id that osls gives to the log group of a function. */
export const logGroupId = (job: string, kind: FunctionKind) => `${logicalName(functionName(job, kind))}LogGroup`;

/** A function as serverless.yml declares one. */
export type FunctionDefinition = { environment: Record<string, unknown>; role?: unknown; [key: string]: unknown };

/** Returns the functions of a job, by their names. */
export function functionsOf(values: JobValues): Record<string, FunctionDefinition> {
  const { job, id, memoryMb, timeoutSeconds, logRetentionDays, vpc, environment } = values;
  const define = (kind: FunctionKind, more: Partial<FunctionDefinition> = {}): FunctionDefinition => ({
    description: `${FUNCTIONS[kind]} of ${job}`,
    handler: `dist/${kind}.handler`,
    role: { 'Fn::Sub': `\${${id}${logicalName(kind)}Role.Arn}` },
    ...{ memorySize: memoryMb, timeout: timeoutSeconds, logRetentionInDays: logRetentionDays },
    ...(vpc && { vpc: { subnetIds: vpc.subnetIds, securityGroupIds: vpc.securityGroupIds } }),
    ...more,
    environment: { ...environment, ...more.environment },
  });
  const running = {
    environment: { DEAD_LETTER_QUEUE_URL: { Ref: `${id}DeadLetters` } },
    destinations: { onFailure: { type: 'sqs', arn: { 'Fn::GetAtt': [`${id}FailedInvocations`, 'Arn'] } } },
    // Runs invoke these functions again; lib/run bounds each chain, where Lambda would end it after 16.
    recursiveLoop: 'Allow',
  };
  return {
    [functionName(job, 'sync')]: define('sync', {
      ...running,
      // Lambda does not retry a failed run: the next tick does its work. What `control` does may be repeated.
      ...{ maximumRetryAttempts: RETRIES.sync, maximumEventAge: values.eventAgeSeconds },
    }),
    [functionName(job, 'backfill')]: define('backfill', {
      ...running,
      // Nobody else goes on where a step of a detached backfill was killed. An event that comes twice does nothing.
      ...{ maximumRetryAttempts: RETRIES.backfill, maximumEventAge: MAX_EVENT_AGE_SECONDS },
    }),
    [functionName(job, 'control')]: define('control'),
  };
}
