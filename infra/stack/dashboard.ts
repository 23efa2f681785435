import type { Resources } from './optional.ts';

interface Widget {
  type: string;
  properties: { alarms?: string[] };
}

const ARN_OF_ALARM = `arn:\${AWS::Partition}:cloudwatch:\${AWS::Region}:\${AWS::AccountId}:alarm:`;

/**
 * Makes the text that CloudWatch wants of the dashboard that infra/stack/dashboard.yml describes, and puts the template's alarms
 * on it.
 * @param resources of the template; changed in place
 */
export function writeDashboard(resources: Resources): void {
  const properties = resources.Dashboard?.Properties;
  if (!properties) return;
  const alarms = Object.values(resources).filter(({ Type: type }) => type === 'AWS::CloudWatch::Alarm');
  const body = properties.DashboardBody as { widgets: Widget[] };
  const widgets = body.widgets.flatMap((widget) => {
    if (widget.type !== 'alarm') return [widget];
    // CloudWatch shows at most a hundred.
    const arns = alarms.slice(0, 100).map((alarm) => ARN_OF_ALARM + alarm.Properties.AlarmName);
    return arns.length === 0 ? [] : [{ ...widget, properties: { ...widget.properties, alarms: arns } }];
  });
  properties.DashboardBody = { 'Fn::Sub': JSON.stringify({ ...body, widgets }) };
}
