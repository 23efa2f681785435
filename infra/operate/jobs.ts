import type { LambdaClientConfig } from '@aws-sdk/client-lambda';
import { functionName } from '../stack/functions.ts';
import { type Announcement, readAnnouncement } from '../terminal/announce.ts';
import { Refusal } from '../terminal/refusal.ts';
import { connect, type Functions } from './functions.ts';

/** The jobs that a command can be about. */
export interface Jobs {
  names: string[];
  /** Into how many parts a job is divided. */
  shardsOf(job: string): number;
  /** The functions of one job. */
  of(job: string): Functions;
}

type JobShards = { job: string; shards: number };

const named = (jobs: JobShards[]) => ({
  names: jobs.map(({ job }) => job),
  shardsOf: (name: string) => jobs.find(({ job }) => job === name)?.shards ?? 1,
});

/**
 * The jobs of a deployed stage.
 * @param nameOf maps the name of a function in serverless.yml to its name in Lambda
 */
export async function deployedJobs(
  jobs: JobShards[],
  config: LambdaClientConfig,
  nameOf: (name: string) => string,
): Promise<Jobs> {
  const client = await connect(config);
  return { ...named(jobs), of: (job) => client((kind) => nameOf(functionName(job, kind))) };
}

/** The `npm run dev` that runs in `folder`. @param stage must be its stage, if it is given @throws Refusal */
export function runningDev(folder: string, stage: string | undefined): Announcement {
  const running = readAnnouncement(folder);
  if (!running) throw new Refusal('npm run dev is not running; --local invokes the functions that it starts');
  if (stage !== undefined && stage !== running.stage)
    throw new Refusal(`npm run dev is running stage ${running.stage}, not ${stage}`);
  return running;
}

/** Makes osls's own commands of this process invoke the functions of `npm run dev`. @throws Refusal */
export function invokeDev(folder: string, stage: string | undefined): void {
  const { url } = runningDev(folder, stage);
  Object.assign(process.env, {
    ...{ AWS_ENDPOINT_URL_LAMBDA: url, AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' },
  });
}

/** The job of the `npm run dev` that runs in `folder`. @throws Refusal */
export const localJobs = (folder: string, stage: string | undefined): Promise<Jobs> =>
  announcedJobs(runningDev(folder, stage));

/** The `npm run dev` has ended, and with it all that ran there. */
export class DevHasEnded extends Refusal {}

/** The job of an `npm run dev`. */
export async function announcedJobs(running: Announcement): Promise<Jobs> {
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const client = await connect({ endpoint: running.url, region: 'us-east-1', credentials });
  const explain = (error: Error): never => {
    const { code } = (error.cause ?? {}) as { code?: string };
    throw code === 'ECONNREFUSED' ? new DevHasEnded('npm run dev is not running any more', { cause: error }) : error;
  };
  return {
    ...named(running.jobs),
    of(job) {
      const functions = client((kind) => functionName(job, kind));
      return {
        sync: (event, signal) => functions.sync(event, signal).catch(explain),
        backfill: (event, signal) => functions.backfill(event, signal).catch(explain),
        control: (event, signal) => functions.control(event, signal).catch(explain),
      };
    },
  };
}
