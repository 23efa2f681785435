import { fill } from './fill.ts';
import type { JobValues } from './job-values.ts';
import type { Resources } from './resources.ts';
import { template } from './template.ts';

interface Widget {
  type: string;
  x: number;
  y?: number;
  width: number;
  height: number;
  properties: Record<string, unknown>;
}

interface Template {
  Resources: Resources;
  Headings: Widget[];
  Row: Widget[];
  Backfills: Widget[];
  Log: Widget;
}

const ARN_OF_ALARM = `arn:\${AWS::Partition}:cloudwatch:\${AWS::Region}:\${AWS::AccountId}:alarm:`;

/** CloudWatch shows a hundred alarms in one widget. */
const MAX_ALARMS = 100;
/** So many that their names, of which only the end tells them apart, are seen. */
const ALARMS_IN_A_LINE = 6;
/** Those that went off come first, so the others may be a scroll away. */
const MAX_LINES = 5;

/** Returns the dashboard with the alarms among `resources` and a row for each job that asks for one; nothing if none does. */
export async function dashboard(jobs: JobValues[], resources: Resources): Promise<Resources> {
  const shown = jobs.filter((job) => job.dashboard);
  const [first] = shown;
  if (!first) return {};
  const { Resources: parts, Headings: headings, Row: row, ...below } = await template<Template>('dashboard.yml');
  const sources = shown.map(({ prefix }) => `SOURCE '/aws/lambda/${prefix}-sync'`).join(' | ');
  const { service, stage } = first;
  const lines = [
    ...alarmLines(resources),
    headings,
    ...shown.map((values) => fill(row, values)),
    fill(below.Backfills, { stage }),
    [fill(below.Log, { sources })],
  ];
  const made = fill(parts, { service, stage, widgets: stacked(lines) });
  const { Properties: properties } = made.Dashboard!;
  properties.DashboardBody = { 'Fn::Sub': JSON.stringify(properties.DashboardBody) };
  return made;
}

/** The state of all alarms, in as few widgets as they fit into. */
function alarmLines(resources: Resources): Widget[][] {
  const alarms = Object.values(resources).filter(({ Type: type }) => type === 'AWS::CloudWatch::Alarm');
  const arns = alarms.map((alarm) => ARN_OF_ALARM + alarm.Properties.AlarmName);
  const groups = Array.from({ length: Math.ceil(arns.length / MAX_ALARMS) }, (_, index) =>
    arns.slice(index * MAX_ALARMS, (index + 1) * MAX_ALARMS),
  );
  return groups.map((group) => {
    const height = 1 + Math.min(MAX_LINES, Math.ceil(group.length / ALARMS_IN_A_LINE));
    const properties = { title: 'Alarms', alarms: group, sortBy: 'stateUpdatedTimestamp' };
    return [{ type: 'alarm', x: 0, width: 24, height, properties }];
  });
}

/** Puts each line of widgets below the one before. */
function stacked(lines: Widget[][]): Widget[] {
  let y = 0;
  return lines.flatMap((line) => {
    const placed = line.map((widget) => ({ ...widget, y }));
    y += Math.max(...line.map(({ height }) => height));
    return placed;
  });
}
