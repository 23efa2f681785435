import { join } from 'node:path';
import { settingsTable } from '../lib/settings/config.ts';
import { writeDashboard } from './stack/dashboard.ts';
import { leaveOut, type Resources } from './stack/optional.ts';
import { divide } from './stack/shards.ts';
import { templateValues } from './stack/template-values.ts';
import { alarmMinutes } from './stage/alarm-minutes.ts';
import { readDotenv } from './stage/dotenv.ts';
import { readStageConfig, type StageConfig } from './stage/stage-config.ts';

/** What is used of osls here; it has no types of its own. */
interface Serverless {
  serviceDir: string;
  configurationInput: { provider: { stage: string } };
  processedInput: { commands: string[] };
  service: {
    functions: Record<string, { environment?: Environment; role?: unknown }>;
    provider: { environment?: Environment };
    resources: { Resources: Resources };
  };
  classes: { Error: new (message: string, code: string) => Error };
}

type Environment = Record<string, unknown>;

interface Writers {
  log: { warning(text: string): void };
}

/**
 * The plugin of osls that makes its commands build first, so that none can use an old bundle, and that gives
 * serverless.yml the stage's checked file as `${config:}`.
 */
export default function buildPlugin(serverless: Serverless, options: { stage?: string }, { log }: Writers) {
  const stage = options.stage ?? serverless.configurationInput.provider.stage;
  let config: StageConfig;
  // As it is before osls puts a stage's environment into it.
  const shell = { ...process.env };

  const bundle = async () => {
    // osls loads its plugins with `require`, which refuses whatever awaits at its top level.
    const { build } = await import('./bundle/build.ts');
    await build({ outDir: join(serverless.serviceDir, 'dist') });
  };

  const warnOfLongInterval = () => {
    const { alarmWithoutSuccessMinutes: written } = config;
    const minutes = alarmMinutes(config);
    if (minutes <= written) return;
    const file = `infra/config/${stage}.yml`;
    log.warning(
      `${file}: two runs may end further apart than alarmWithoutSuccessMinutes, ${written}; the alarm waits ${minutes} minutes`,
    );
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
      config: {
        async resolve() {
          const { job } = await import('../functions/job.ts');
          return { value: templateValues(stage, job.name, config) };
        },
      },
    },
    hooks: {
      initialize() {
        const { provider, functions } = serverless.service;
        const command = serverless.processedInput.commands.join(' ');
        // What only the deployed stack knows is not asked for: a run on this machine does without.
        if (command === 'invoke local')
          for (const { environment } of [provider, ...Object.values(functions)])
            for (const [name, value] of Object.entries(environment ?? {}))
              if (typeof value === 'object') delete environment?.[name];
        // It would look for the role by a name that only the template knows; the function keeps the one that it has.
        if (command === 'deploy function') for (const fn of Object.values(functions)) delete fn.role;
      },
      'before:package:createDeploymentArtifacts': bundle,
      'before:package:finalize': () => {
        const { Resources: resources } = serverless.service.resources;
        leaveOut(resources, config);
        divide(resources, config.shards);
        writeDashboard(resources);
        warnOfLongInterval();
      },
      'before:deploy:function:packageFunction': bundle,
      'before:invoke:local:invoke': bundle,
      // What the shell or .env says is meant for this machine, so it stands when osls sets the stage's environment;
      // which stage it is, `--stage` says.
      'after:invoke:local:loadEnvVars': () => {
        const dotenv = readDotenv(serverless.serviceDir, (line) => log.warning(line));
        const given: NodeJS.ProcessEnv = { ...dotenv, ...shell };
        for (const name of Object.keys(settingsTable))
          if (given[name] !== undefined && name !== 'STAGE') process.env[name] = given[name];
        for (const [name, value] of Object.entries(dotenv)) process.env[name] ??= value;
      },
    },
  };
}
