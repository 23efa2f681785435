import { alarmMinutes } from '../stage/alarm-minutes.ts';
import type { JobConfig } from '../stage/job-config.ts';
import type { Resource, Resources } from './resources.ts';

interface Policy {
  PolicyName: string;
}

/** Removes from the template of a job what the stage's file does not ask for. @param resources changed in place */
export function leaveOut(resources: Resources, config: JobConfig): void {
  const { vpc, alarms, secretKeyArn, settings, listsTarget } = config;
  const neverGoesOff: Record<string, boolean> = {
    NoSuccessAlarm: alarmMinutes(config) === 0,
    RemovalsWithheldAlarm: !listsTarget,
  };
  const unwanted = (name: string, { Type: type }: Resource) =>
    type === 'AWS::CloudWatch::Alarm' && (!alarms || neverGoesOff[name]);
  for (const [name, resource] of Object.entries(resources)) if (unwanted(name, resource)) delete resources[name];

  const needed: Record<string, boolean> = {
    'secret-key': secretKeyArn !== undefined,
    network: vpc !== undefined,
    continue: settings.CONTINUE === 'self' || settings.OVERLAP === 'follow',
  };
  for (const { Type: type, Properties: properties } of Object.values(resources)) {
    if (type !== 'AWS::IAM::Role') continue;
    properties.Policies = (properties.Policies as Policy[]).filter(({ PolicyName: name }) => needed[name] ?? true);
  }
}
