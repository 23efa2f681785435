import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStreak } from '../../lib/engine/streak.ts';
import { TargetDownError, TargetError } from '../../lib/errors.ts';

const unanswered = () => new TargetError('no answer');
const refused = () => new TargetError('the target answered 422', { status: 422, refused: true });
/** The job could not make a request of the record. */
const unasked = () => new TargetError('the job could not', { refused: true });

/** A streak of at most `limit`; `events` has the ids of failed records and the numbers of unsettled ones. */
function start(limit = 3) {
  const events: (string | number)[] = [];
  const streak = openStreak<string>({
    limit,
    failed: (record, { message }) => events.push(`${record}: ${message}`),
    unsettled: (records) => events.push(records),
  });
  return { events, ...streak };
}

test('A failed record waits until the target proves to be up, and then it has failed for good.', () => {
  const { events, add, blameRecords } = start();
  for (const record of ['a', 'b']) assert.equal(add(record, unanswered()), undefined);
  assert.deepEqual(events, []);
  blameRecords();
  assert.deepEqual(events, ['a: no answer', 'b: no answer']);
  blameRecords();
  assert.equal(events.length, 2);
});

test('Records that failed in a row up to the limit are the target’s fault: they stay unsettled, and the run ends.', () => {
  const { events, add, end } = start();
  assert.equal(add('a', unanswered()), undefined);
  assert.equal(add('b', unanswered()), undefined);
  const last = unanswered();
  const down = add('c', last);
  assert.ok(down instanceof TargetDownError);
  assert.deepEqual([down.message, down.cause], ['3 records in a row failed, the last one so: no answer', last]);
  assert.deepEqual(events, [3]);
  end();
  assert.deepEqual(events, [3, 0]);
});

test('A success in between begins the row anew.', () => {
  const { events, add, blameRecords } = start();
  add('a', unanswered());
  add('b', unanswered());
  blameRecords();
  assert.equal(add('c', unanswered()), undefined);
  assert.equal(add('d', unanswered()), undefined);
  assert.equal(events.length, 2);
  assert.ok(add('e', unanswered()));
});

test('An answer that refuses a record shows that the target is up, also where it would have been the last of the row.', () => {
  const { events, add } = start();
  add('a', unanswered());
  add('b', unanswered());
  assert.equal(add('c', refused()), undefined);
  assert.deepEqual(events, ['a: no answer', 'b: no answer', 'c: the target answered 422']);
});

test('A record that was never sent has failed by itself and says nothing about the target.', () => {
  const { events, add } = start();
  add('a', unanswered());
  add('b', unanswered());
  assert.equal(add('c', unasked()), undefined);
  assert.deepEqual(events, ['c: the job could not']);
  assert.ok(add('d', unanswered()));
});

test('An answer that is no refusal, such as 503, counts for the row like no answer.', () => {
  const { events, add } = start(1);
  assert.ok(add('a', new TargetError('the target answered 503', { status: 503 })));
  assert.deepEqual(events, [1]);
});

test('What is in the row at the end of the run has failed, unless the target was down: then it is unsettled.', () => {
  const up = start();
  up.add('a', unanswered());
  up.end();
  assert.deepEqual(up.events, ['a: no answer']);

  const down = start();
  for (const record of ['a', 'b', 'c', 'd', 'e']) down.add(record, unanswered());
  down.end();
  assert.deepEqual(down.events, [3, 2]);
});
