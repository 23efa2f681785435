import { announcedJobs, type Jobs, runningDev } from './operate/jobs.ts';
import type { StageConfig } from './stage/stage-config.ts';
import type { Lines } from './terminal/print-lines.ts';

interface Where {
  serviceDir: string;
  local?: boolean | undefined;
  stage?: string | undefined;
  /** `false` only prints the address. */
  open?: boolean | undefined;
  print(lines: Lines): void;
  /** The jobs of the deployed stage. */
  deployed(): Promise<{ config: StageConfig; jobs: Jobs }>;
}

/** Serves the console until Ctrl-C. @throws Refusal */
export async function runConsole(where: Where): Promise<void> {
  // The page is bundled only where somebody opens it.
  const { openConsole, untilInterrupted } = await import('./console/open.ts');
  const { serviceDir, print, open = true } = where;
  const served = where.local ? await localConsole(where) : await deployedConsole(where);
  await using _ = await openConsole({ ...served, serviceDir, print, open });
  await untilInterrupted();
}

async function localConsole({ serviceDir, stage }: Where) {
  const running = runningDev(serviceDir, stage);
  return { stage: running.stage, local: true, jobs: await announcedJobs(running), timers: running.jobs };
}

async function deployedConsole({ deployed }: Where) {
  const { config, jobs } = await deployed();
  const timers = config.jobs.map(({ job, schedule }) => ({ job, timer: schedule }));
  return { stage: config.stage, local: false, jobs, timers };
}
