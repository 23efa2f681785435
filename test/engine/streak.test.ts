import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStreak } from '../../lib/engine/streak.ts';
import { TargetDownError, TargetError, TargetRefusedError } from '../../lib/errors.ts';

const unanswered = () => new TargetError('no answer');
const refused = (status = 422) => new TargetError(`the target answered ${status}`, { status, refused: true });
/** The job could not make a request of the record. */
const unasked = () => new TargetError('the job could not', { refused: true });

/** A streak of at most `limit`; `events` has the ids of failed records and the numbers of unsettled ones. */
function start(limit = 3) {
  const events: (string | number)[] = [];
  let refusals = 0;
  const streak = openStreak<string>({
    limit,
    idOf: (record) => record,
    failed: (record, { message }) => events.push(`${record}: ${message}`),
    unsettled: (records) => events.push(records),
  });
  return {
    events,
    ...streak,
    add: (record: string, error: TargetError, failedBefore = false) => streak.add(record, error, failedBefore),
    /** Adds `count` refusals that are no reason to end the run. */
    refuse(count: number, failedBefore = false) {
      for (let index = 0; index < count; index++)
        assert.equal(streak.add(`r${refusals++}`, refused(), failedBefore), undefined, `refusal ${index + 1}`);
    },
  };
}

test('A failed record waits until the target proves to be up, and then it has failed for good.', () => {
  const { events, add, taken } = start();
  for (const record of ['a', 'b']) assert.equal(add(record, unanswered()), undefined);
  assert.deepEqual(events, []);
  taken();
  assert.deepEqual(events, ['a: no answer', 'b: no answer']);
  taken();
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
  assert.equal(end(), undefined);
  assert.deepEqual(events, [3, 0]);
});

test('A success in between begins the row anew.', () => {
  const { events, add, taken } = start();
  add('a', unanswered());
  add('b', unanswered());
  taken();
  assert.equal(add('c', unanswered()), undefined);
  assert.equal(add('d', unanswered()), undefined);
  assert.equal(events.length, 2);
  assert.ok(add('e', unanswered()));
});

test('A refusal by a target that has taken a record shows that it is up, also where it would have been the last of the row.', () => {
  const { events, add, taken } = start();
  taken();
  add('a', unanswered());
  add('b', unanswered());
  assert.equal(add('c', refused()), undefined);
  assert.deepEqual(events, ['a: no answer', 'b: no answer', 'c: the target answered 422']);
  // And it begins the row anew.
  for (const record of ['d', 'e']) assert.equal(add(record, unanswered()), undefined);
  assert.ok(add('f', unanswered()) instanceof TargetDownError);
});

test('A refusal by a target that has taken nothing yet waits for its verdict, and begins the row of no answers anew.', () => {
  const { events, add, taken } = start();
  add('a', unanswered());
  add('b', unanswered());
  assert.equal(add('c', refused()), undefined);
  for (const record of ['d', 'e']) assert.equal(add(record, unanswered()), undefined);
  assert.deepEqual(events, []);
  taken();
  assert.deepEqual(events, [
    ...['a: no answer', 'b: no answer', 'c: the target answered 422'],
    ...['d: no answer', 'e: no answer'],
  ]);
});

test('A target that goes down before it has taken a record leaves its refusals unsettled as well.', () => {
  const { events, add, refuse } = start();
  refuse(2);
  for (const record of ['a', 'b']) assert.equal(add(record, unanswered()), undefined);
  const down = add('c', unanswered());
  assert.equal(down?.message, '5 records in a row failed, the last one so: no answer');
  assert.deepEqual(events, [5]);
});

test('A target that refuses as many as the limit and has taken none refuses everybody: nothing failed, and the run ends.', () => {
  const { events, add, refuse, end } = start(30);
  refuse(29);
  const error = add('last', refused(403));
  assert.ok(error instanceof TargetRefusedError);
  assert.equal(
    error.message,
    'the target refused each of the first 30 records that it was asked: the target answered 422; the target answered 403',
  );
  assert.deepEqual(events, [30]);
  assert.equal(end(), undefined);
  assert.deepEqual(events, [30, 0]);
});

test('Fewer than twenty refusals never mean the target, however low the limit is.', () => {
  const { events, add, refuse } = start(3);
  refuse(19);
  assert.ok(add('last', refused()) instanceof TargetRefusedError);
  assert.deepEqual(events, [20]);
});

test('A target that refuses everybody is told with three different reasons at most, each once, and only with refusals.', () => {
  const { add } = start(30);
  add('a', unanswered());
  let error: Error | undefined;
  for (let index = 0; index < 30; index++) error = add(`r${index}`, refused(400 + (index % 5)));
  const reasons = [400, 401, 402].map((status) => `the target answered ${status}`).join('; ');
  assert.equal(error?.message, `the target refused each of the first 30 records that it was asked: ${reasons}`);
});

test('A target that has taken one record has never refused everybody, whatever follows.', () => {
  const { events, refuse, taken, end } = start();
  taken();
  refuse(100);
  assert.equal(events.length, 100);
  assert.equal(end(), undefined);
  assert.equal(events.length, 100);
});

test('That a record is refused which an earlier run could not write is no news about the target.', () => {
  const { events, add, refuse, end } = start();
  refuse(100, true);
  refuse(19);
  assert.deepEqual(events, []);
  assert.equal(end(), undefined);
  assert.equal(events.length, 119);

  const told = start();
  told.refuse(100, true);
  told.refuse(19);
  const error = told.add('last', refused());
  assert.match(error?.message ?? '', /each of the first 20 records/);
  assert.deepEqual(told.events, [120]);

  // No answer counts, for whichever record.
  for (const record of ['a', 'b']) assert.equal(add(record, unanswered(), true), undefined);
  assert.ok(add('c', unanswered(), true) instanceof TargetDownError);
});

test('At the end of the list twenty refusals and no record taken mean the target, and nineteen the records.', () => {
  const nineteen = start(1000);
  nineteen.refuse(19);
  assert.equal(nineteen.end(), undefined);
  assert.equal(nineteen.events.length, 19);

  const twenty = start(1000);
  twenty.refuse(20);
  assert.ok(twenty.end() instanceof TargetRefusedError);
  assert.deepEqual(twenty.events, [20]);

  const proved = start(1000);
  proved.refuse(20);
  proved.taken();
  assert.equal(proved.end(), undefined);
  assert.equal(proved.events.length, 20);
});

test('A target is blamed once: what fails later in the same run is unsettled, and gives no second error.', () => {
  const everybody = start();
  everybody.refuse(19);
  assert.ok(everybody.add('last', refused()));
  everybody.refuse(5);
  for (const record of ['a', 'b', 'c']) assert.equal(everybody.add(record, unanswered()), undefined);
  assert.equal(everybody.end(), undefined);
  assert.deepEqual(everybody.events, [20, 8]);
});

test('A record that was never sent has failed by itself and says nothing about the target.', () => {
  const { events, add, end } = start();
  add('a', unanswered());
  add('b', unanswered());
  assert.equal(add('c', unasked()), undefined);
  assert.deepEqual(events, ['c: the job could not']);
  assert.ok(add('d', unanswered()));
  end();

  const never = start();
  for (let index = 0; index < 50; index++) assert.equal(never.add(`${index}`, unasked()), undefined);
  assert.equal(never.end(), undefined);
  assert.equal(never.events.length, 50);
});

test('An answer that is no refusal, such as 503, counts for the row like no answer.', () => {
  const { events, add } = start(1);
  assert.ok(add('a', new TargetError('the target answered 503', { status: 503 })) instanceof TargetDownError);
  assert.deepEqual(events, [1]);
});

test('What is in the row at the end of the run has failed, unless the target was down: then it is unsettled.', () => {
  const up = start();
  up.add('a', unanswered());
  assert.equal(up.end(), undefined);
  assert.deepEqual(up.events, ['a: no answer']);

  const down = start();
  for (const record of ['a', 'b', 'c', 'd', 'e']) down.add(record, unanswered());
  assert.equal(down.end(), undefined);
  assert.deepEqual(down.events, [3, 2]);
});

test('A record that failed before says something about the target where it is not its content that is refused.', () => {
  for (const [status, says] of [
    ...[400, 409, 415, 422].map((status) => [status, false] as const),
    ...[308, 401, 403, 404, 405, 413].map((status) => [status, true] as const),
  ]) {
    const { add, end } = start(1000);
    for (let index = 0; index < 20; index++) add(`r${index}`, refused(status), true);
    assert.equal(end() instanceof TargetRefusedError, says, `${status}`);
  }
});

test('A record that is read and refused again and again is one refusal of the target.', () => {
  const { add, end } = start(20);
  for (let times = 0; times < 50; times++) assert.equal(add('same', refused()), undefined);
  assert.equal(end(), undefined);
  const another = start(20);
  for (let times = 0; times < 50; times++) another.add('same', refused());
  another.refuse(18);
  assert.ok(another.add('last', refused()) instanceof TargetRefusedError);
});

test('A request for several records that no attempt got through counts like one record, and what it was for is not in the streak.', () => {
  const { events, add, addRequest } = start();
  assert.equal(addRequest(unanswered()), undefined);
  assert.equal(add('a', unanswered()), undefined);
  const down = addRequest(unanswered());
  assert.ok(down instanceof TargetDownError);
  assert.deepEqual(events, [1]);
  // Blamed once.
  assert.equal(addRequest(unanswered()), undefined);

  const requests = start();
  for (let index = 0; index < 2; index++) assert.equal(requests.addRequest(unanswered()), undefined);
  assert.equal(requests.addRequest(unanswered())?.message, '3 requests in a row failed, the last one so: no answer');
  assert.deepEqual(requests.events, [0]);
});

test('A request for several records that is taken or refused shows that the target is up, but one that was never sent does not.', () => {
  const unasked = new TargetError('a request for 5 records has 100 bytes', { refused: true });
  for (const [what, answered, isUp] of [
    ['taken', ({ taken }: ReturnType<typeof start>) => taken(), true],
    ['refused', ({ addRequest }: ReturnType<typeof start>) => void addRequest(refused(413)), true],
    ['never sent', ({ addRequest }: ReturnType<typeof start>) => void addRequest(unasked), false],
  ] as const) {
    const streak = start();
    for (let index = 0; index < 2; index++) assert.equal(streak.addRequest(unanswered()), undefined);
    answered(streak);
    assert.equal(streak.addRequest(unanswered()) === undefined, isUp, what);
  }
});

test('What is refused to all of a request may be the fault of some by what is said or by size, or once a record was taken.', () => {
  const { mayBeOfSome, taken } = start();
  for (const status of [400, 409, 413, 414, 415, 422, 431])
    assert.equal(mayBeOfSome(refused(status)), true, `${status}`);
  for (const status of [300, 307, 401, 403, 404, 405]) assert.equal(mayBeOfSome(refused(status)), false, `${status}`);
  assert.equal(mayBeOfSome(unanswered()), true);
  assert.equal(mayBeOfSome(new TargetError('no answer to results', { status: 200, refused: true })), true);
  assert.equal(mayBeOfSome(new TargetError('never sent', { refused: true })), true);
  taken();
  assert.equal(mayBeOfSome(refused(403)), true);
});
