import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { serverless, serviceFolder } from '../../infra/bundle/artifact.ts';
import { testProject } from './project/project.ts';

/** The block of the second job in the tests' project. */
export const prices = {
  schedule: { expression: 'rate(1 hour)' },
  secretId: 'solotick/dev/prices',
  settings: { SOURCE_URL: 'https://source.example.com', TARGET_URL: 'https://target.example.com' },
};

const network = (number: number) => ({
  subnetIds: [`subnet-0123456789abcde${number}0`, `subnet-0123456789abcde${number}1`],
  securityGroupIds: [`sg-0123456789abcde${number}0`],
  secretsEndpoint: { vpcId: `vpc-0123456789abcde${number}0` },
});

/** The optional keys that the stage files do not use. */
const EVERYTHING = {
  secretKeyArn: 'arn:aws:kms:us-east-1:111111111111:key/0a1b2c3d-0000-0000-0000-000000000000',
  alarmAddress: 'on-call@example.com',
  vpc: network(1),
};

/** Packages the stages of the tests, and dev with two jobs and all optional keys, into `folder`. @returns the templates' paths */
export async function packageTemplates(folder: string): Promise<Map<string, string>> {
  const serviceDir = await serviceFolder(folder, testProject);
  const templates = new Map<string, string>();
  const compile = async (stage: string, name: string) => {
    await serverless(serviceDir, ['package', '--stage', stage]);
    const kept = join(folder, `${templates.size}.json`);
    await copyFile(join(serviceDir, '.serverless/cloudformation-template-update-stack.json'), kept);
    templates.set(name, kept);
  };
  await compile('dev', 'dev');
  await compile('prod', 'prod');
  const file = join(serviceDir, 'infra/config/dev.yml');
  const config = parse(await readFile(file, 'utf8'));
  config.settings.CONTINUE = 'self';
  config.jobs.models.shards = 2;
  config.jobs.prices = { ...prices, alarmAddress: 'prices@example.com', vpc: network(2) };
  await writeFile(file, stringify({ ...config, ...EVERYTHING }));
  await compile('dev', 'dev with everything');
  return templates;
}
