import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTransientStatus } from '../lib/http-status.ts';

test('A status by which a server or a proxy says that the request may succeed later is transient, and no other one is.', () => {
  const transient = [408, 421, 423, 425, 429, 500, 502, 503, 504, 506, 507, 509, 520, 530];
  const final = [200, 204, 301, 400, 401, 403, 404, 409, 410, 412, 413, 422, 424, 426, 499, 501, 505];
  assert.deepEqual([...transient, ...final].filter(isTransientStatus), transient);
});
