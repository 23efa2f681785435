import type { Parts } from '../bundle/artifact.ts';
import type { FunctionKind } from '../stack/functions.ts';
import { readStageConfig } from '../stage/stage-config.ts';
import { catalogue, type Model } from './demo/catalogue.ts';
import { demoProject } from './demo/project.ts';
import { type DemoSource, startSource } from './demo/source.ts';
import { type DemoTarget, startTarget } from './demo/target.ts';
import { type JobCloud, startJobCloud } from './job-cloud.ts';
import { serviceDirectory } from './service-directory.ts';

export type FunctionName = FunctionKind;

interface Options {
  /** Its file gives the settings; local addresses replace the addresses in that file. */
  stage: string;
  /** The project with the job and the stage's file; by default the demo's own, whatever a user changes. */
  project?: Parts;
  /** Variables that override all others in the functions' environment. */
  env?: Record<string, string>;
  /** Receives a line about each step of the start. */
  onProgress?: (line: string) => void;
  /** Receives every line that a function prints. */
  onLog?: (name: FunctionKind, line: string) => void;
}

/** The job `models` with the demo's source and target. */
export interface LocalCloud extends JobCloud {
  records: Model[];
  source: DemoSource;
  target: DemoTarget;
}

/** The job that the demo's APIs are for. */
export const DEMO_JOB = 'models';

/** Starts everything that the job `models` needs on loopback, and its functions from the same artifact that is deployed. */
export async function startCloud({ stage, project = demoProject, env = {}, ...hear }: Options): Promise<LocalCloud> {
  await using stack = new AsyncDisposableStack();
  const { path: serviceDir } = stack.use(await serviceDirectory(project));
  const { service, jobs } = await readStageConfig(stage, serviceDir);
  const config = jobs.find(({ job }) => job === DEMO_JOB);
  if (!config) throw new Error(`infra/config/${stage}.yml has no block jobs.${DEMO_JOB}`);
  const credentials = { username: 'solotick', password: 'demo-password' };
  const token = 'demo-token';
  const region = env.TARGET_REGION_ID ?? config.settings.TARGET_REGION_ID ?? 'local';
  const records = catalogue();
  const source = stack.use(await startSource({ records, credentials }));
  const target = stack.use(await startTarget({ token, regions: [region] }));
  const cloud = stack.use(
    await startJobCloud({
      ...{ serviceDir, service, stage, config, ...hear },
      secret: { source: credentials, target: { token } },
      env: { SOURCE_URL: source.url, TARGET_URL: target.url, TARGET_REGION_ID: region, ...env },
    }),
  );
  const owned = stack.move();
  return { ...cloud, records, source, target, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
