import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { packageTemplates } from '../support/templates.ts';

type Json = null | string | number | boolean | Json[] | { [key: string]: Json };

let folder: string;
let templates: Map<string, string>;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'solotick-iam-'));
  templates = await packageTemplates(folder);
});
after(() => rm(folder, { recursive: true, force: true }));

const INTERFACES =
  'ec2:CreateNetworkInterface,ec2:DescribeNetworkInterfaces,ec2:DescribeSubnets,ec2:DeleteNetworkInterface,' +
  'ec2:AssignPrivateIpAddresses,ec2:UnassignPrivateIpAddresses';

/** The accepted wildcards: AWS allows nothing narrower, or they match only what the reason says. */
const REASONS: [reason: string, statement: RegExp][] = [
  ['X-Ray', /^AWS::IAM::Role: xray:PutTraceSegments,xray:PutTelemetryRecords on \*$/],
  ['interfaces in a VPC', RegExp(`^AWS::IAM::Role: ${INTERFACES} on \\*$`)],
  ['a key in its own policy', /^AWS::KMS::Key: (kms:\*|kms:Decrypt,kms:GenerateDataKey) on \*$/],
  [
    'the log streams of the function itself',
    /^AWS::IAM::Role: logs:CreateLogStream,logs:PutLogEvents on logs:log-group:\/aws\/lambda\/solotick-\w+-\w+-\w+:\*$/,
  ],
  [
    'the six characters that Secrets Manager appends to a name',
    /^AWS::(IAM::Role|EC2::VPCEndpoint): secretsmanager:GetSecretValue on secretsmanager:secret:solotick\/\w+\/\w+-\?{6}$/,
  ],
];

test('No statement of a packaged template has a wildcard, except where AWS allows nothing narrower.', async () => {
  const reasons = new Set<string>();
  for (const [name, file] of templates) {
    const statements = allowances(JSON.parse(await readFile(file, 'utf8')).Resources);
    assert.ok(statements.length > 15, `${name} has ${statements.length} statements`);
    for (const statement of statements.filter((text) => /[*?]|Not/.test(text))) {
      const [reason] = REASONS.find(([, allowed]) => allowed.test(statement)) ?? [];
      assert.ok(reason, `${name}: ${statement}`);
      reasons.add(reason);
    }
  }
  assert.deepEqual([...reasons].sort(), REASONS.map(([reason]) => reason).sort());
});

test('No role has a managed policy: the template has all of its permissions.', async () => {
  for (const [name, file] of templates)
    assert.doesNotMatch(await readFile(file, 'utf8'), /ManagedPolic|"arn:aws[\w-]*:iam::aws:policy/, name);
});

test('A node of the etcd cluster may use only its own bucket, log and account.', async () => {
  const text = await readFile(join(import.meta.dirname, '../../infra/etcd/node.yml'), 'utf8');
  // The parser drops CloudFormation's tags, such as !Sub, and keeps their text.
  const { Resources } = parse(text, { logLevel: 'error' });
  assert.deepEqual(
    allowances(Resources).filter((statement) => /[*?]|Not/.test(statement)),
    [
      'AWS::IAM::Role: ec2:AttachVolume on ec2:instance/*',
      'AWS::IAM::Role: secretsmanager:GetSecretValue on secretsmanager:secret:<Cluster>-??????',
      'AWS::IAM::Role: s3:GetObject on arn:<AWS::Partition>:s3:::<Bucket>/*',
      'AWS::IAM::Role: s3:PutObject on arn:<AWS::Partition>:s3:::<Bucket>/snapshots/*',
      'AWS::IAM::Role: logs:CreateLogStream,logs:PutLogEvents on logs:log-group:/<Cluster>:*',
      'AWS::IAM::Role: ssm:UpdateInstanceInformation on ec2:instance/*',
      // Sessions instead of SSH.
      'AWS::IAM::Role: ssmmessages:CreateControlChannel,ssmmessages:CreateDataChannel,ssmmessages:OpenControlChannel,ssmmessages:OpenDataChannel on *',
    ],
  );
});

/** Lists the resources of all statements that allow something, anywhere in a template. */
function allowances(resources: { [name: string]: { [key: string]: Json } }): string[] {
  return Object.values(resources).flatMap((resource) =>
    statementsOf(resource).flatMap(({ Effect, Action, Resource = 'itself', Principal = {}, ...rest }) => {
      if (Effect === 'Deny') return [];
      const others = Object.keys(rest).filter((key) => !['Sid', 'Condition'].includes(key));
      const subject = [...others, ...(isOpen(Principal) ? ['*'] : [])].map((text) => `${text} `).join('');
      return [Resource].flat().map((one) => `${resource.Type}: ${subject}${[Action].flat()} on ${textOf(one)}`);
    }),
  );
}

function statementsOf(value: Json | undefined): { [key: string]: Json }[] {
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(statementsOf);
  const own = 'Statement' in value ? ([value.Statement].flat() as { [key: string]: Json }[]) : [];
  return [...own, ...Object.values(value).flatMap(statementsOf)];
}

const isOpen = (principal: Json) => JSON.stringify(principal).includes('"*"');

/** Writes <Name> for a reference, and leaves out the stack's own partition, region and account. */
function textOf(resource: Json): string {
  const { 'Fn::Sub': sub } = Object(resource);
  const text = typeof (sub ?? resource) === 'string' ? (sub ?? resource) : JSON.stringify(resource);
  const own = /^arn:<AWS::Partition>:(\w+):<AWS::Region>:<AWS::AccountId>:/;
  return text.replace(/\$\{(.*?)\}/g, '<$1>').replace(own, '$1:');
}
