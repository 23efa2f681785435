import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serviceFolder } from '../../infra/bundle/artifact.ts';
import { stackOf } from '../../infra/stack/stack.ts';
import { readStageConfig } from '../../infra/stage/stage-config.ts';
import { testProject } from '../support/project/project.ts';
import { toldMetrics } from '../support/told-metrics.ts';
import { drawDashboard } from './draw.ts';
import type { Widget } from './widget-metrics.ts';

/** Draws the dashboard of the tests' stage, with a job in two shards and a second job, from the very template. */
export async function sampleDashboard() {
  const folder = await mkdtemp(join(tmpdir(), 'solotick-dashboard-'));
  try {
    const config = await readStageConfig('dev', await serviceFolder(folder, testProject));
    const [models] = config.jobs;
    const jobs = [
      { ...models!, shards: 2 },
      { ...models!, job: 'prices', listsTarget: false },
    ];
    const { resources } = await stackOf({ ...config, jobs });
    const { DashboardBody: body } = resources.Resources.Dashboard!.Properties as {
      DashboardBody: { 'Fn::Sub': string };
    };
    const { widgets } = JSON.parse(body['Fn::Sub']) as { widgets: Widget[] };
    const told = jobs.flatMap(({ job, shards }) => toldMetrics({ stage: config.stage, job, shards }));
    return { resources: resources.Resources, told, widgets, ...drawDashboard(widgets, told) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
