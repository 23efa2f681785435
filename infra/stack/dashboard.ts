import type { Resources } from './resources.ts';

interface Widget {
  type: string;
  properties: { alarms?: string[] };
}

const ARN_OF_ALARM = `arn:\${AWS::Partition}:cloudwatch:\${AWS::Region}:\${AWS::AccountId}:alarm:`;

/** CloudWatch shows a hundred alarms in one widget. */
const MAX_ALARMS = 100;

/**
 * Adds the template's alarms to the dashboard of infra/stack/dashboard.yml, and turns its body into the JSON text that
 * CloudWatch expects.
 * @param resources changed in place
 */
export function writeDashboard(resources: Resources): void {
  const properties = resources.Dashboard?.Properties;
  if (!properties) return;
  const alarms = Object.values(resources).filter(({ Type: type }) => type === 'AWS::CloudWatch::Alarm');
  const body = properties.DashboardBody as { widgets: Widget[] };
  const widgets = body.widgets.flatMap((widget) => {
    if (widget.type !== 'alarm') return [widget];
    const arns = alarms.slice(0, MAX_ALARMS).map((alarm) => ARN_OF_ALARM + alarm.Properties.AlarmName);
    return arns.length === 0 ? [] : [{ ...widget, properties: { ...widget.properties, alarms: arns } }];
  });
  properties.DashboardBody = { 'Fn::Sub': JSON.stringify({ ...body, widgets }) };
}
