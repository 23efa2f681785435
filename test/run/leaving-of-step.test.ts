import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newReport } from '../../lib/report.ts';
import { leavingOfStep } from '../../lib/run/detached/leaving-of-step.ts';
import { beginDetached } from '../../lib/state/detached.ts';
import type { Reached } from '../../lib/state/final-state.ts';
import type { Pass, RunRecord } from '../../lib/state/schemas.ts';

const now = '2026-03-01T12:00:00.000Z';
const error = { name: 'TargetDownError', code: 'TARGET_DOWN', message: 'no answer' };
const last: RunRecord = {
  ...{ runId: 'run-1', kind: 'backfill', status: 'failed', startedAt: now, endedAt: now, fencingToken: '7' },
  ...{ report: newReport(), error },
};
const pass: Pass = {
  ...{ runId: 'run-1', startedAt: now, full: false, fingerprint: 'f', cursor: 'next', counts: newReport() },
  listed: { ordered: true, rises: 0, read: 20 },
};

/** What a step that has failed leaves of its backfill's attempts, of which there were two before it. */
async function attemptsAfter({ reached = pass, advanced = true }: { reached?: Pass; advanced?: boolean }) {
  const begun = beginDetached({ kind: 'backfill', detach: true }, undefined, now);
  const leaving = leavingOfStep({
    ...{ prefix: '/state/', backfillId: 'may', step: 0 },
    state: { backfillProgress: { failed: [], detached: { ...begun, attempts: 2 } } },
    pass: { settledPages: () => 2, advanced: () => advanced },
    chain: { sendNext: async () => true },
    grant: async () => '1',
  });
  const state = { pass: reached, failed: [], deadLettered: [], closedGeneration: undefined, givenUp: [] };
  const ended: Reached = { ...state, recent: () => undefined };
  const attemptsOf = ({ request_put }: { request_put: { value: Buffer } }) =>
    JSON.parse(String(request_put.value)).detached.attempts;
  const [, final] = await leaving.final(last, ended);
  return [attemptsOf(leaving.progress(ended)), attemptsOf(final as Parameters<typeof attemptsOf>[0])];
}

test('A step that has failed after it had settled a page begins to count again.', async () => {
  assert.deepEqual(await attemptsAfter({}), [0, 0]);
});

test('Pages that are read once more, because the source has refused the cursor, are no progress.', async () => {
  assert.deepEqual(await attemptsAfter({ advanced: false }), [3, 3]);
});

test('A window whose end fails begins again, so its pages are no progress.', async () => {
  const [, final] = await attemptsAfter({ reached: { ...pass, cursor: null } });
  assert.equal(final, 3);
});
