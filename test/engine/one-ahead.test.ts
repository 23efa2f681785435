import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { oneAhead } from '../../lib/engine/one-ahead.ts';

/** A listing of which the test sees each request, and whether it was closed. */
function listing(pages: number, options: { next?: (number: number) => unknown; closes?: () => Promise<unknown> } = {}) {
  const state = { asked: 0, closed: 0 };
  const iterable: AsyncIterable<number> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        state.asked++;
        if (options.next) return options.next(state.asked) as Promise<IteratorResult<number>>;
        const done = state.asked > pages;
        return Promise.resolve(done ? { done, value: undefined } : { done, value: state.asked });
      },
      return() {
        state.closed++;
        return (options.closes?.() ?? Promise.resolve({ done: true, value: undefined })) as never;
      },
    }),
  };
  return { state, iterable };
}

const never = new AbortController().signal;

test('Pages come in their order, and the next one is fetched while one is worked on; not a third one.', async () => {
  const { state, iterable } = listing(3);
  const seen: number[][] = [];
  for await (const page of oneAhead(iterable, never)) {
    await nextTurn();
    seen.push([page, state.asked]);
  }
  assert.deepEqual(seen, [
    [1, 2],
    [2, 3],
    [3, 4],
  ]);
  assert.equal(state.closed, 1);
});

test('The listing is closed when the reader stops, and one that cannot be closed is left alone.', async () => {
  for (const closes of [() => Promise.resolve(), () => Promise.reject(new Error('it will not close'))]) {
    const { state, iterable } = listing(9, { closes });
    for await (const page of oneAhead(iterable, never)) if (page === 2) break;
    assert.equal(state.closed, 1);
  }
  const { iterable } = listing(1);
  const bare = { [Symbol.asyncIterator]: () => ({ next: iterable[Symbol.asyncIterator]().next }) };
  assert.deepEqual(await Array.fromAsync(oneAhead(bare, never)), [1]);
});

test('What the listing throws is thrown when its turn comes, after the pages before it.', async () => {
  const error = new Error('the source is down');
  const next = (number: number) =>
    number === 2 ? Promise.reject(error) : Promise.resolve({ done: false, value: number });
  const { state, iterable } = listing(2, { next });
  const seen: number[] = [];
  const reading = (async () => {
    for await (const page of oneAhead(iterable, never)) {
      // The failure is there long before anybody waits for it: nobody may call it unhandled.
      await nextTurn();
      seen.push(page);
    }
  })();
  await assert.rejects(reading, error);
  assert.deepEqual([seen, state.closed], [[1], 1]);
});

test('An abort ends the wait for a page that does not come, with its own reason, and nobody waits for the close either.', async () => {
  const hangs = () => new Promise(() => {});
  const { state, iterable } = listing(9, { next: hangs, closes: hangs });
  const stop = new AbortController();
  const reading = Array.fromAsync(oneAhead(iterable, stop.signal));
  stop.abort(new Error('the reserve is reached'));
  await assert.rejects(reading, { message: 'the reserve is reached' });
  assert.equal(state.closed, 1);
});

test('An abort while a page is worked on ends the pages, although the next one is there.', async () => {
  const { iterable } = listing(9);
  const stop = new AbortController();
  const seen: number[] = [];
  const reading = (async () => {
    for await (const page of oneAhead(iterable, stop.signal)) {
      seen.push(page);
      await nextTurn();
      stop.abort(new Error('enough'));
    }
  })();
  await assert.rejects(reading, { message: 'enough' });
  assert.deepEqual(seen, [1]);
});

test('A failure of the page ahead that nobody waits for any more is not unhandled.', async () => {
  const stop = new AbortController();
  const ahead = Promise.withResolvers<never>();
  const { iterable } = listing(9, {
    next: (number) => (number === 1 ? Promise.resolve({ done: false, value: 1 }) : ahead.promise),
  });
  const seen: number[] = [];
  for await (const page of oneAhead(iterable, stop.signal)) {
    seen.push(page);
    break;
  }
  ahead.reject(new Error('late'));
  await nextTurn();
  assert.deepEqual(seen, [1]);
});
