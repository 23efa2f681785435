import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { settingsTable } from '../lib/config.ts';
import { readStageConfig, type StageConfig } from './stage-config.ts';

/** What is used of osls here; it has no types of its own. */
interface Serverless {
  serviceDir: string;
  configurationInput: { provider: { stage: string } };
  classes: { Error: new (message: string, code: string) => Error };
}

/**
 * The plugin of osls that makes its commands build first, so that none can use an old bundle, and that gives
 * serverless.yml the stage's checked file as `${config:}`.
 */
export default function buildPlugin(serverless: Serverless, options: { stage?: string }) {
  const stage = options.stage ?? serverless.configurationInput.provider.stage;
  let config: StageConfig;
  let shell: NodeJS.ProcessEnv;

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
      'before:deploy:function:packageFunction': bundle,
      'before:invoke:local:invoke': bundle,
      // What the shell or .env says is meant for this machine, so it stands when osls sets the stage's environment;
      // which stage it is, `--stage` says.
      'before:invoke:local:loadEnvVars': () => {
        const file = join(serverless.serviceDir, '.env');
        if (existsSync(file)) process.loadEnvFile(file);
        shell = { ...process.env };
      },
      'after:invoke:local:loadEnvVars': () => {
        for (const name of Object.keys(settingsTable))
          if (shell[name] && name !== 'STAGE') process.env[name] = shell[name];
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
