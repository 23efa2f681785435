import { join } from 'node:path';
import { settingsTable } from '../lib/settings/config.ts';
import { writeDashboard } from './stack/dashboard.ts';
import { leaveOut } from './stack/optional.ts';
import type { Resources } from './stack/resources.ts';
import { divide } from './stack/shards.ts';
import { templateValues } from './stack/template-values.ts';
import { alarmMinutes } from './stage/alarm-minutes.ts';
import { readDotenv } from './stage/dotenv.ts';
import { readStageConfig, type StageConfig } from './stage/stage-config.ts';

/** The parts of osls that are used here; it has no types of its own. */
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
 * The plugin of osls that builds the bundle before each command that uses it, gives serverless.yml the stage's checked file
 * as `${config:}`, and shapes the template by that file.
 */
export default function buildPlugin(serverless: Serverless, options: { stage?: string }, { log }: Writers) {
  const stage = options.stage ?? serverless.configurationInput.provider.stage;
  let config: StageConfig;
  // A copy, because osls adds the stage's environment to process.env later.
  const shell = { ...process.env };

  const readConfig = async () => {
    try {
      config = await readStageConfig(stage, join(serverless.serviceDir, 'infra/config'));
    } catch (error) {
      // osls prints errors of its own class without a stack.
      throw new serverless.classes.Error((error as Error).message, 'STAGE_CONFIG');
    }
  };

  const bundle = async () => {
    // osls loads plugins with `require`, which refuses a module with a top-level await, as build.ts has.
    const { build } = await import('./bundle/build.ts');
    await build({ outDir: join(serverless.serviceDir, 'dist') });
  };

  const adaptToCommand = () => {
    const { provider, functions } = serverless.service;
    const command = serverless.processedInput.commands.join(' ');
    // Values that only the deployed stack knows are objects (Ref, Fn::GetAtt); osls would ask AWS for them.
    if (command === 'invoke local')
      for (const { environment } of [provider, ...Object.values(functions)])
        for (const [name, value] of Object.entries(environment ?? {}))
          if (typeof value === 'object') delete environment?.[name];
    // osls would look up the role by a name that only the template knows. Without it, the function keeps its role.
    if (command === 'deploy function') for (const fn of Object.values(functions)) delete fn.role;
  };

  const shapeTemplate = () => {
    const { Resources: resources } = serverless.service.resources;
    leaveOut(resources, config);
    divide(resources, config.shards);
    writeDashboard(resources);
    const { alarmWithoutSuccessMinutes: written } = config;
    const minutes = alarmMinutes(config);
    if (minutes > written)
      log.warning(
        `infra/config/${stage}.yml: the alarm without a success waits ${minutes} minutes instead of ` +
          `alarmWithoutSuccessMinutes, ${written}, because two runs may end that far apart`,
      );
  };

  /** Variables of the shell and of .env override the stage's environment on this machine, except for the stage's name. */
  const applyLocalVariables = () => {
    const dotenv = readDotenv(serverless.serviceDir, (line) => log.warning(line));
    const given: NodeJS.ProcessEnv = { ...dotenv, ...shell };
    for (const name of Object.keys(settingsTable))
      if (given[name] !== undefined && name !== 'STAGE') process.env[name] = given[name];
    for (const [name, value] of Object.entries(dotenv)) process.env[name] ??= value;
  };

  return {
    // Not while variables are resolved: osls would report the error once for each of them.
    asyncInit: readConfig,
    configurationVariablesSources: {
      config: {
        resolve: async () => ({ value: templateValues(stage, 'models', config) }),
      },
    },
    hooks: {
      initialize: adaptToCommand,
      'before:package:createDeploymentArtifacts': bundle,
      'before:package:finalize': shapeTemplate,
      'before:deploy:function:packageFunction': bundle,
      'before:invoke:local:invoke': bundle,
      'after:invoke:local:loadEnvVars': applyLocalVariables,
    },
  };
}
