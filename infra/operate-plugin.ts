import type { LambdaClientConfig } from '@aws-sdk/client-lambda';
import { announced } from './local/announce.ts';
import { onInterrupt } from './local/interrupt.ts';
import { backfill, type Rest } from './operate/backfill.ts';
import { createInvoke, type Invoke } from './operate/invoke.ts';
import { type BackfillOptions, cut, readBackfillOptions, readInstant } from './operate/options.ts';
import { createProgress } from './operate/progress.ts';
import { Refusal } from './operate/refusal.ts';
import { resumeCommand, type Where } from './operate/resume-command.ts';
import { describeStatus, notReset, type Status } from './operate/status.ts';

/** What is used of osls here; it has no types of its own. */
interface Serverless {
  serviceDir: string;
  service: {
    getFunction(name: string): { name: string };
    custom: { config: { environment: { SHARDS?: string } } };
  };
  getProvider(name: 'aws'): { getAwsSdkV3Config(): Promise<LambdaClientConfig> };
  classes: { Error: new (message: string, code: string) => Error };
}

interface Writers {
  /** Prints a line. */
  writeText(text: string): void;
  progress: { get(name: string): { update(text: string): void; remove(): void } };
}

type Options = Where & BackfillOptions & { note?: string; what?: string; to?: string; json?: boolean };

const string = (usage: string) => ({ usage, type: 'string' });
const boolean = (usage: string) => ({ usage, type: 'boolean' });

const local = { local: boolean('Work on the functions of a running "npm run dev"') };
const json = { json: boolean('Print the answer of the function as JSON') };

/** A function may take 15 minutes, in which nothing comes over the wire; osls would hang up after two. */
const SILENCE_MS = String(16 * 60_000);

const WHATS = ['checkpoint', 'watermark', 'failed'];

const commands = {
  backfill: {
    usage: 'Copy a range of time, single records, or everything, by hand',
    lifecycleEvents: ['run'],
    options: {
      since: string('Copy what was changed at this time or later: 2026-01-31, or 2026-01-31T12:00:00Z'),
      until: string('Copy what was changed before this time'),
      ids: string('Copy the records of these ids: a,b or \'["a","b"]\''),
      all: boolean('Copy everything'),
      'dry-run': boolean('Read and check, write nothing, and say what would be written'),
      wait: string('Queue for the lock for so many seconds, at most 900, instead of giving up'),
      window: string('Cut a long range into windows of this length: 12h, 1d, 7d'),
      concurrency: string('The most writes in flight'),
      resume: string('Go on with an interrupted backfill; it has printed the command'),
      shard: string('Begin with this shard, where the job runs in shards'),
      ...local,
    },
  },
  status: {
    usage: 'Show who holds the lock, the last run, and what is still to do',
    lifecycleEvents: ['run'],
    options: { ...json, ...local },
  },
  pause: {
    usage: 'Have the timer skip its ticks until "serverless resume"',
    lifecycleEvents: ['run'],
    options: { note: string('Why, for those who look at the status'), ...json, ...local },
  },
  resume: { usage: 'End a pause', lifecycleEvents: ['run'], options: { ...json, ...local } },
  reset: {
    usage: 'Forget where the timer goes on',
    lifecycleEvents: ['run'],
    options: {
      what: { ...string(`What to reset: ${WHATS.join(', ')}`), required: true },
      to: string('With --what watermark: from when the next tick reads; without it, it reads everything'),
      ...json,
      ...local,
    },
  },
};

/** The plugin of osls with the commands for operators: each invokes the function `backfill` or `control` and tells. */
export default function operatePlugin(serverless: Serverless, options: Options, { writeText, progress }: Writers) {
  async function connect(): Promise<Invoke> {
    if (!options.local) {
      process.env.AWS_CLIENT_TIMEOUT ??= SILENCE_MS;
      const config = await serverless.getProvider('aws').getAwsSdkV3Config();
      return createInvoke(config, (name) => serverless.service.getFunction(name).name);
    }
    const running = announced(serverless.serviceDir);
    if (!running) throw new Refusal('npm run dev is not running; --local works on what it has started');
    const { url: endpoint, stage } = running;
    if (options.stage !== undefined && options.stage !== stage)
      throw new Refusal(`npm run dev is running stage ${stage}, not ${options.stage}`);
    const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
    const invoke = await createInvoke({ endpoint, region: 'us-east-1', credentials }, (name) => name);
    return (name, event) =>
      invoke(name, event).catch((error) => {
        const { code } = (error.cause ?? {}) as { code?: string };
        throw code === 'ECONNREFUSED' ? new Refusal('npm run dev is not running any more') : error;
      });
  }

  async function runBackfill() {
    const shards = Number(serverless.service.custom.config.environment.SHARDS ?? 1);
    const request = readBackfillOptions(options, new Date(), shards);
    const invoke = await connect();
    const howToResume = (rest: Rest) => `to go on:\n  ${resumeCommand(request, rest, options)}`;
    const stop = new AbortController();
    onInterrupt(() => {
      writeText('stopping when the run that is under way has ended; Ctrl-C again leaves it alone');
      stop.abort();
    });
    const bar = progress.get('backfill');
    let rest: Rest | undefined;
    try {
      using shown = createProgress(cut(request).length, request.dryRun, {
        line: writeText,
        bar: (text) => bar.update(text),
      });
      rest = await backfill(request, { invoke, progress: shown, stop: stop.signal, howToResume });
    } finally {
      bar.remove();
    }
    if (!rest) return;
    writeText(`stopped; ${howToResume(rest)}`);
    process.exitCode = 130;
  }

  async function runControl(event: object) {
    const invoke = await connect();
    const status = (await invoke('control', event)) as Status;
    for (const line of options.json ? [JSON.stringify(status, null, 2)] : describeStatus(status)) writeText(line);
    const left = notReset(status);
    if (left) throw new Refusal(`${left}; once that has ended, it can be (after "serverless pause" no tick begins)`);
  }

  const runPause = () => {
    const { note } = options;
    if (note !== undefined && note.length > 500) throw new Refusal('--note may have 500 characters');
    return runControl({ action: 'pause', note });
  };

  const runReset = () => {
    const { what = '', to } = options;
    if (!WHATS.includes(what)) throw new Refusal(`--what "${what}" is none of ${WHATS.join(', ')}`);
    if (to !== undefined && what !== 'watermark') throw new Refusal('--to belongs to --what watermark');
    return runControl({ action: 'reset', what, ...(to !== undefined && { to: readInstant('to', to) }) });
  };

  /** osls prints the message alone, without a stack, for errors of its own kind only. */
  const plainly = (run: () => Promise<void>) => async () => {
    try {
      await run();
    } catch (error) {
      throw error instanceof Refusal ? new serverless.classes.Error(error.message, 'REFUSED') : error;
    }
  };

  return {
    commands,
    hooks: {
      'backfill:run': plainly(runBackfill),
      'status:run': plainly(() => runControl({ action: 'status' })),
      'pause:run': plainly(async () => runPause()),
      'resume:run': plainly(() => runControl({ action: 'resume' })),
      'reset:run': plainly(async () => runReset()),
    },
  };
}
