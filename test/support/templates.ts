import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { serverless, serviceFolder } from '../../infra/bundle/artifact.ts';

/** The optional keys that the shipped stage files do not use. */
const EVERYTHING = {
  shards: 2,
  secretKeyArn: 'arn:aws:kms:us-east-1:111111111111:key/0a1b2c3d-0000-0000-0000-000000000000',
  alarmAddress: 'on-call@example.com',
  vpc: {
    subnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
    securityGroupIds: ['sg-0123456789abcdef0'],
    secretsEndpoint: { vpcId: 'vpc-0123456789abcdef0' },
  },
};

/** Packages dev, prod, and dev with all optional keys into `folder`. @returns the paths of their templates by name */
export async function packageTemplates(folder: string): Promise<Map<string, string>> {
  const serviceDir = await serviceFolder(folder);
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
  await writeFile(file, stringify({ ...config, ...EVERYTHING }));
  await compile('dev', 'dev with everything');
  return templates;
}
