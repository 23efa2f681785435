import type { LambdaClientConfig } from '@aws-sdk/client-lambda';
import type { Control } from '../lib/event.ts';
import { runConsole } from './console-command.ts';
import type { Where } from './operate/backfill-command.ts';
import type { Terminal } from './operate/bar.ts';
import { commands } from './operate/commands.ts';
import { approvalOf, type ControlOptions, pauseOf, resetOf } from './operate/control-options.ts';
import { type DiffOptions, diff } from './operate/diff.ts';
import { showHistory } from './operate/history.ts';
import { deployedJobs, invokeDev, type Jobs, localJobs } from './operate/jobs.ts';
import type { BackfillOptions } from './operate/options.ts';
import { runBackfill } from './operate/run-backfill.ts';
import { showStatus } from './operate/show-status.ts';
import { describeSkipped, describeStatus } from './operate/status.ts';
import { readStageConfig } from './stage/stage-config.ts';
import { chooseJob } from './terminal/choose-job.ts';
import { linePrinter } from './terminal/print-lines.ts';
import { Refusal } from './terminal/refusal.ts';

/** The parts of osls that are used here; it has no types of its own. */
interface Serverless {
  serviceDir: string;
  service: { getFunction(name: string): { name: string } };
  getProvider(name: 'aws'): { getAwsSdkV3Config(): Promise<LambdaClientConfig>; getStage(): string };
  classes: { Error: new (message: string, code: string) => Error };
}

interface Writers {
  /** Prints a line. */
  writeText(text: string): void;
  progress: { get(name: string): { update(text: string): void; remove(): void } };
}

type Options = Where & BackfillOptions & DiffOptions & ControlOptions & { open?: boolean };

/** A function may run for 15 minutes without sending a byte; osls would close the connection after two. */
const AWS_CLIENT_TIMEOUT_MS = String(16 * 60_000);

/** The plugin of osls with the commands for operators, which invoke the functions `backfill` and `control`. */
export default function operatePlugin(serverless: Serverless, options: Options, { writeText, progress }: Writers) {
  const print = linePrinter(writeText);

  async function connectJobs(): Promise<Jobs> {
    if (options.local) return await localJobs(serverless.serviceDir, options.stage);
    return (await connectDeployed()).jobs;
  }

  async function connectDeployed() {
    process.env.AWS_CLIENT_TIMEOUT ??= AWS_CLIENT_TIMEOUT_MS;
    const aws = serverless.getProvider('aws');
    const config = await readStageConfig(aws.getStage(), serverless.serviceDir);
    const nameOf = (name: string) => serverless.service.getFunction(name).name;
    return { config, jobs: await deployedJobs(config.jobs, await aws.getAwsSdkV3Config(), nameOf) };
  }

  /** The functions of the job that the command is about. */
  async function connectJob() {
    const jobs = await connectJobs();
    const job = chooseJob(jobs.names, options.job);
    return { shards: jobs.shardsOf(job), ...jobs.of(job) };
  }

  async function backfill() {
    const { shards, ...functions } = await connectJob();
    await runBackfill(options, { functions, shards, print, withBar });
  }

  async function withBar<T>(show: (terminal: Terminal) => Promise<T>): Promise<T> {
    const bar = progress.get('backfill');
    try {
      return await show({ line: print, bar: linePrinter((text) => bar.update(text)) });
    } finally {
      bar.remove();
    }
  }

  async function runDiff() {
    const { shards, backfill: invoke } = await connectJob();
    if (!(await diff(options, { invoke, shards, print }))) process.exitCode = 1;
  }

  async function runControl(event: Control) {
    const { control } = await connectJob();
    const status = await control(event);
    print(options.json ? JSON.stringify(status, null, 2).split('\n') : describeStatus(status, options));
    if (status.notApproved !== undefined) throw new Refusal(`nothing was approved: ${status.notApproved}`);
    const skipped = describeSkipped(status, event.action === 'reset' ? 'reset' : 'approved');
    if (skipped)
      throw new Refusal(`${skipped}; try again when the lock is free ("serverless pause" stops further ticks)`);
  }

  async function runStatus() {
    if (options.job !== undefined) return await runControl({ action: 'status' });
    await showStatus(await connectJobs(), options.json ?? false, print);
  }

  async function runHistory() {
    const jobs = await connectJobs();
    const names = options.job === undefined ? jobs.names : [chooseJob(jobs.names, options.job)];
    await showHistory(jobs, names, options.json ?? false, print);
  }

  /** osls prints errors of its own class without a stack. */
  const withoutStack = (run: () => Promise<void>) => async () => {
    try {
      await run();
    } catch (error) {
      throw error instanceof Refusal ? new serverless.classes.Error(error.message, 'REFUSED') : error;
    }
  };

  return {
    commands,
    hooks: {
      'backfill:run': withoutStack(backfill),
      'diff:run': withoutStack(runDiff),
      'console:run': withoutStack(() =>
        runConsole({ ...options, serviceDir: serverless.serviceDir, print, deployed: connectDeployed }),
      ),
      'status:run': withoutStack(runStatus),
      'history:run': withoutStack(runHistory),
      'pause:run': withoutStack(async () => runControl(pauseOf(options))),
      'resume:run': withoutStack(() => runControl({ action: 'resume' })),
      'reset:run': withoutStack(async () => runControl(resetOf(options))),
      'approve-removals:run': withoutStack(async () => runControl(approvalOf(options))),
      'before:invoke:invoke': withoutStack(async () => {
        if (options.local) invokeDev(serverless.serviceDir, options.stage);
      }),
      'before:logs:logs': withoutStack(async () => {
        if (options.local) throw new Refusal('npm run dev prints the logs of its functions itself');
      }),
    },
  };
}
