import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { serviceFolder } from '../../infra/bundle/artifact.ts';
import { startCloud } from '../../infra/local/cloud.ts';
import { stackOf } from '../../infra/stack/stack.ts';
import { readStageConfig, type StageConfig } from '../../infra/stage/stage-config.ts';
import { discovered, parseQuery } from '../support/insights.ts';
import { lockByHand } from '../support/lock.ts';
import { testProject } from '../support/project/project.ts';
import { model } from '../support/world.ts';

let folder: string;
let config: StageConfig;
/** What the functions of the artifact have printed in runs of all kinds. */
const lines: string[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'solotick-queries-'));
  config = await readStageConfig('dev', await serviceFolder(folder, testProject));
  const hear = (_: string, line: string) => lines.push(line);
  await using cloud = await startCloud({ stage: 'dev', onLog: hear });
  const { source, target, functions, etcd, lockKey } = cloud;
  const { sync, backfill } = functions;
  source.records = [model(0), model(1), model(2), { ...model(3), limit: undefined }, { ...model(4), limit: undefined }];
  target.refuse = (body) => ((body as { name: string }).name === 'Model 1' ? 422 : undefined);
  await sync.invoke({});
  await backfill.invoke({ ids: ['model-00001'] });
  // A record that is not taken by the dead-letter queue is named in another way.
  await cloud.deadLetters[Symbol.asyncDispose]();
  source.records = [{ ...model(5), limit: undefined }];
  await sync.invoke({});
  {
    await using terminal = lockByHand(etcd, lockKey);
    await terminal.acquired;
    await sync.invoke({});
  }
  source.credentials = { username: 'somebody', password: 'else' };
  await sync.invoke({});
});
after(() => rm(folder, { recursive: true, force: true }));

/** The saved queries of the stage, by their names. */
async function savedQueries(of: StageConfig) {
  const { resources } = await stackOf(of);
  return Object.fromEntries(
    Object.values(resources.Resources).flatMap(({ Type: type, Properties: properties }) =>
      type === 'AWS::Logs::QueryDefinition' ? [[properties.Name as string, properties]] : [],
    ),
  );
}

/** What a saved query answers to the printed lines. @param change of its text, as an operator makes it */
async function answered(name: string, change = (text: string) => text) {
  const query = parseQuery(change((await savedQueries(config))[`solotick-dev/${name}`]?.QueryString as string));
  const rows = query.run(lines);
  return { query, rows };
}

test('Every field that a saved query or the dashboard reads is one that a run prints.', async () => {
  const printed = new Set(lines.flatMap((line) => Object.keys(discovered(line))));
  const queries = Object.entries(await savedQueries(config)).map(([name, { QueryString }]) => [name, QueryString]);
  const { Dashboard } = (await stackOf(config)).resources.Resources;
  const { DashboardBody } = Dashboard!.Properties as { DashboardBody: { 'Fn::Sub': string } };
  for (const { properties } of JSON.parse(DashboardBody['Fn::Sub']).widgets)
    if (properties.query) queries.push([properties.title, properties.query]);
  assert.equal(queries.length, 4);
  for (const [name, text] of queries) {
    const { fields, run } = parseQuery(text as string);
    for (const field of fields) assert.ok(printed.has(field), `${name}: no line has ${field}`);
    if (name !== 'solotick-dev/one record by id') assert.ok(run(lines).length > 0, `${name} finds nothing`);
  }
});

test('The runs are one row each, the newest first: how each ended, with its counts.', async () => {
  const { rows } = await answered('runs');
  assert.deepEqual(
    rows.map(({ kind, how, error, read, written, failed }) => [kind, how, error, read, written, failed]),
    [
      ['tick', 'the run failed', 'CredentialsError', 0, 0, 0],
      ['tick', rows[1]!.how, undefined, undefined, undefined, undefined],
      ['tick', 'completed', undefined, 1, 0, 0],
      ['backfill', 'completed', undefined, 1, 0, 1],
      ['tick', 'completed', undefined, 5, 2, 1],
    ],
  );
  assert.match(String(rows[1]!.how), /^skipped: the lock is held by another program/);
  assert.equal(new Set(rows.map(({ runId }) => runId)).size, 5);
  for (const { job, ms, token } of [rows[0]!, rows[2]!]) {
    assert.equal(job, 'models');
    assert.equal(typeof ms, 'number');
    assert.match(String(token), /^\d+$/);
  }
});

test('Failed records are counted by their reason, the most frequent first.', async () => {
  const { rows } = await answered('failed records by reason');
  assert.deepEqual(
    rows.map((row) => [row['problem.kind'], row.records, row.times]),
    [
      ['invalid', 3, 3],
      ['failed', 1, 2],
      ['missing', 1, 1],
    ],
  );
  assert.match(String(rows[0]!['problem.reason']), /^limit: /);
  assert.match(String(rows[0]!.such_as), /model-00005/);
});

test('One record’s way is each line that names its id, in order, the dead-letter queue’s refusal among them.', async () => {
  const way = async (id: string) => {
    const { rows } = await answered('one record by id', (text) => text.replace('acme/model-1', id));
    return rows.map(({ kind, message }) => [kind, message]);
  };
  const failed = 'a record was not written: failed';
  assert.deepEqual(await way('model-00001'), [
    ['tick', failed],
    ['backfill', failed],
    ['tick', 'a record was not written: missing'],
  ]);
  assert.deepEqual(await way('model-00005'), [
    ['tick', 'a record was not written: invalid'],
    ['tick', 'a record did not reach the dead-letter queue'],
  ]);
  assert.deepEqual(await way('model-0000'), []);
});

test('There are three queries for all jobs of a stage, over the logs of their runs, and of no more groups than a query takes.', async () => {
  const [job] = config.jobs;
  const groupsOf = async (count: number) => {
    const jobs = Array.from({ length: count }, (_, index) => ({ ...job!, job: `job-${index}`, alarms: false }));
    const queries = Object.values(await savedQueries({ ...config, jobs }));
    assert.equal(queries.length, 3);
    const [first, ...others] = queries.map(({ LogGroupNames }) => LogGroupNames as { Ref: string }[]);
    for (const other of others) assert.deepEqual(other, first);
    return first!.map(({ Ref }) => Ref);
  };
  assert.deepEqual(await groupsOf(2), [
    ...['JobDash0DashsyncLogGroup', 'JobDash1DashsyncLogGroup'],
    ...['JobDash0DashbackfillLogGroup', 'JobDash1DashbackfillLogGroup'],
  ]);
  const many = await groupsOf(30);
  assert.equal(many.length, 50);
  assert.equal(many.filter((id) => id.endsWith('DashsyncLogGroup')).length, 30);
});
