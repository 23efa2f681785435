import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Job } from '../../lib/job-types.ts';
import { readSettings } from '../../lib/settings/config.ts';
import { readDotenv } from '../stage/dotenv.ts';
import type { JobConfig } from '../stage/job-config.ts';
import { knownSettings, loadProjectJob } from '../stage/job-settings.ts';
import { parseInterval } from '../stage/schedule.ts';
import { readStageConfig } from '../stage/stage-config.ts';
import { chooseJob } from '../terminal/choose-job.ts';
import { say } from '../terminal/print-lines.ts';
import { DEMO_JOB } from './cloud.ts';
import { hasSecretFile, readSecretFile } from './secret-file.ts';

const USAGE = 'usage: npm run dev [-- --job <job>] [--stage <stage>] [--every 10s]';

/** Stands for the addresses of this machine, which are known only once it has started. */
const LOCAL = {
  SOURCE_URL: 'http://127.0.0.1',
  TARGET_URL: 'http://127.0.0.1',
  ETCD_ENDPOINTS: 'http://127.0.0.1:2379',
};

/** What `npm run dev` runs. */
export interface DevOptions {
  service: string;
  stage: string;
  config: JobConfig;
  everyMs: number | undefined;
  /** The variables of `.env`. */
  env: Record<string, string>;
  /** The job's secret; undefined for the demo, whose APIs have credentials of their own. */
  secret: unknown;
}

function readArgs(args: string[]) {
  try {
    const { values } = parseArgs({
      args,
      options: { job: { type: 'string' }, stage: { type: 'string', default: 'dev' }, every: { type: 'string' } },
    });
    return { ...values, everyMs: values.every === undefined ? undefined : parseInterval(values.every) };
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${USAGE}`, { cause: error });
  }
}

/**
 * Finds out which job the command line asks for, with which settings and secret, and checks all of it.
 * @throws Error with a message for whoever wrote them
 */
export async function readDevOptions(root: string, words: string[]): Promise<DevOptions> {
  const args = readArgs(words);
  const { stage, everyMs } = args;
  const { service, jobs } = await readStageConfig(stage, root);
  const name = chooseJob(
    jobs.map(({ job }) => job),
    args.job,
  );
  const config = jobs.find(({ job }) => job === name)!;
  const job = await loadProjectJob(root, name);
  // `.env` overrides the stage's settings and the local addresses, with some exceptions: `--stage` and `--job` say what runs,
  // the stage's file has the number of shards, and a profile, which is for `invoke local`, would keep the SDK from using the
  // local credentials.
  const {
    STAGE: _stage,
    SHARDS: _shards,
    JOB: _job,
    SERVICE: _service,
    AWS_PROFILE: _profile,
    ...env
  } = readDotenv(root, new Set([...knownSettings(job), 'SECRET_ID', 'DEAD_LETTER_QUEUE_URL']), say);
  const isDemo = name === DEMO_JOB && !env.SOURCE_URL && !env.TARGET_URL && !hasSecretFile(root, name);
  checkSettings(config, job, stage, { ...(isDemo ? LOCAL : { ETCD_ENDPOINTS: LOCAL.ETCD_ENDPOINTS }), ...env });
  const secret = isDemo ? undefined : await readSecretFile(root, job);
  return { service, stage, config, everyMs, env, secret };
}

function checkSettings(config: JobConfig, job: Job<unknown>, stage: string, env: Record<string, string>) {
  const { settings, secretId, shards } = config;
  try {
    readSettings({ ...settings, STAGE: stage, SECRET_ID: secretId, SHARDS: String(shards), ...env }, job);
  } catch (error) {
    throw new Error(`.env and ${join('infra/config', `${stage}.yml`)}: ${(error as Error).message}`, { cause: error });
  }
}
