import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { settingsTable } from '../lib/config.ts';
import { scheduleShards } from './shard-schedules.ts';
import { readStageConfig, type StageConfig } from './stage-config.ts';

/** What is used of osls here; it has no types of its own. */
interface Serverless {
  serviceDir: string;
  configurationInput: { provider: { stage: string } };
  service: { resources: { Resources: Record<string, unknown> } };
  classes: { Error: new (message: string, code: string) => Error };
}

/**
 * The plugin of osls that makes its commands build first, so that none can use an old bundle, and that gives
 * serverless.yml the stage's checked file as `${config:}`.
 */
export default function buildPlugin(serverless: Serverless, options: { stage?: string }) {
  const stage = options.stage ?? serverless.configurationInput.provider.stage;
  let config: StageConfig;
  // As it is before osls puts a stage's environment into it.
  const shell = { ...process.env };

  const bundle = async () => {
    // osls loads its plugins with `require`, which refuses whatever awaits at its top level.
    const { build } = await import('./build.ts');
    await build({ outDir: join(serverless.serviceDir, 'dist') });
  };

  return {
    // An error thrown while variables are resolved would be told once for each of them.
    async asyncInit() {
      try {
        config = await readStageConfig(stage, join(serverless.serviceDir, 'infra/config'));
      } catch (error) {
        // osls prints the message alone, without a stack, for errors of its own kind only.
        throw new serverless.classes.Error((error as Error).message, 'STAGE_CONFIG');
      }
    },
    configurationVariablesSources: {
      config: { resolve: async () => ({ value: templateValues(stage, config) }) },
    },
    hooks: {
      'before:package:createDeploymentArtifacts': bundle,
      'before:package:finalize': () =>
        scheduleShards(serverless.service.resources.Resources, Number(config.settings.SHARDS ?? 1)),
      'before:deploy:function:packageFunction': bundle,
      'before:invoke:local:invoke': bundle,
      // What the shell or .env says is meant for this machine, so it stands when osls sets the stage's environment;
      // which stage it is, `--stage` says.
      'after:invoke:local:loadEnvVars': () => {
        const file = join(serverless.serviceDir, '.env');
        const dotenv = existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {};
        const given: NodeJS.ProcessEnv = { ...dotenv, ...shell };
        for (const name of Object.keys(settingsTable))
          if (given[name] && name !== 'STAGE') process.env[name] = given[name];
        for (const [name, value] of Object.entries(dotenv)) process.env[name] ??= value;
      },
    },
  };
}

/** The stage's file in CloudFormation's words. */
function templateValues(stage: string, { schedule, settings, ...rest }: StageConfig) {
  const { enabled, flexibleWindowMinutes: minutes, ...timing } = schedule;
  const flexibleTimeWindow = minutes === 0 ? { Mode: 'OFF' } : { Mode: 'FLEXIBLE', MaximumWindowInMinutes: minutes };
  return {
    ...rest,
    schedule: { ...timing, state: enabled ? 'ENABLED' : 'DISABLED', flexibleTimeWindow },
    environment: { STAGE: stage, SECRET_ID: rest.secretId, ...settings },
  };
}
