import { join } from 'node:path';
import { FUNCTIONS, type FunctionKind, functionName } from './stack/functions.ts';
import { type Stack, stackOf } from './stack/stack.ts';
import { alarmMinutes } from './stage/alarm-minutes.ts';
import { readDotenv } from './stage/dotenv.ts';
import { knownSettings, loadProjectJob } from './stage/job-settings.ts';
import { readStageConfig, type StageConfig } from './stage/stage-config.ts';
import { chooseJob } from './terminal/choose-job.ts';
import { Refusal } from './terminal/refusal.ts';

/** The parts of osls that are used here; it has no types of its own. */
interface Serverless {
  serviceDir: string;
  configurationInput: { provider: { stage: string } };
  processedInput: { commands: string[] };
  service: {
    functions: Record<string, { environment?: Environment; role?: unknown }>;
    provider: { environment?: Environment };
  };
  classes: { Error: new (message: string, code: string) => Error };
}

type Environment = Record<string, unknown>;

interface Options {
  stage?: string;
  /** osls's own, for commands about one function. */
  function?: string;
  job?: string;
}

interface Writers {
  log: { warning(text: string): void };
}

const job = {
  job: { usage: 'The job whose function it is, where --function is sync, backfill or control', type: 'string' },
};

/**
 * The plugin of osls that gives serverless.yml the functions and resources of the stage's checked file, as `${config:}`, and
 * builds the bundle before each command that uses it.
 */
export default function buildPlugin(serverless: Serverless, options: Options, { log }: Writers) {
  const stage = options.stage ?? serverless.configurationInput.provider.stage;
  const { serviceDir } = serverless;
  let config: StageConfig;
  let stack: Stack;
  // A copy, because osls adds the stage's environment to process.env later.
  const shell = { ...process.env };

  /** osls prints errors of its own class without a stack. */
  const refusal = (error: unknown, code: string) => new serverless.classes.Error((error as Error).message, code);

  const readConfig = async () => {
    try {
      config = await readStageConfig(stage, serviceDir);
      stack = await stackOf(config);
    } catch (error) {
      throw refusal(error, 'STAGE_CONFIG');
    }
  };

  const bundle = async () => {
    // osls loads plugins with `require`, which refuses a module with a top-level await, as build.ts has.
    const { build } = await import('./bundle/build.ts');
    await build({ project: serviceDir, outDir: join(serviceDir, 'dist') });
  };

  /** `--function sync --job models` is `--function models-sync`. */
  const chooseFunction = () => {
    const { function: name = '', job } = options;
    if (!(name in FUNCTIONS)) return;
    try {
      const jobs = config.jobs.map(({ job }) => job);
      options.function = functionName(chooseJob(jobs, job), name as FunctionKind);
    } catch (error) {
      throw error instanceof Refusal ? refusal(error, 'REFUSED') : error;
    }
  };

  const adaptToCommand = () => {
    const { provider, functions } = serverless.service;
    const command = serverless.processedInput.commands.join(' ');
    chooseFunction();
    // Values that only the deployed stack knows are objects (Ref, Fn::GetAtt); osls would ask AWS for them.
    if (command === 'invoke local')
      for (const { environment } of [provider, ...Object.values(functions)])
        for (const [name, value] of Object.entries(environment ?? {}))
          if (typeof value === 'object') delete environment?.[name];
    // osls would look up the role by a name that only the template knows. Without it, the function keeps its role.
    if (command === 'deploy function') for (const fn of Object.values(functions)) delete fn.role;
  };

  const warnOfAlarms = () => {
    for (const job of config.jobs) {
      const minutes = alarmMinutes(job);
      if (minutes > job.alarmWithoutSuccessMinutes)
        log.warning(
          `infra/config/${stage}.yml: the alarm of ${job.job} without a success waits ${minutes} minutes instead of ` +
            `alarmWithoutSuccessMinutes, ${job.alarmWithoutSuccessMinutes}, because two runs may end that far apart`,
        );
    }
  };

  /** Variables of the shell and of .env override those of the stage's file on this machine, except for stage and job. */
  const applyLocalVariables = async () => {
    const known = new Set(['SECRET_ID', 'DEAD_LETTER_QUEUE_URL']);
    for (const { job } of config.jobs)
      for (const name of knownSettings(await loadProjectJob(serviceDir, job))) known.add(name);
    const dotenv = readDotenv(serviceDir, known, (line) => log.warning(line));
    const given: NodeJS.ProcessEnv = { ...dotenv, ...shell };
    for (const name of known) if (given[name] !== undefined) process.env[name] = given[name];
    for (const [name, value] of Object.entries(dotenv)) process.env[name] ??= value;
  };

  return {
    commands: {
      invoke: { options: job, commands: { local: { options: job } } },
      logs: { options: job },
      deploy: { commands: { function: { options: job } } },
    },
    // Not while variables are resolved: osls would report the error once for each of them.
    asyncInit: readConfig,
    configurationVariablesSources: {
      config: {
        resolve: async ({ address }: { address: keyof Stack }) => ({ value: stack[address] }),
      },
    },
    hooks: {
      initialize: adaptToCommand,
      'before:package:createDeploymentArtifacts': bundle,
      'before:package:finalize': warnOfAlarms,
      'before:deploy:function:packageFunction': bundle,
      'before:invoke:local:invoke': bundle,
      'after:invoke:local:loadEnvVars': applyLocalVariables,
    },
  };
}
