import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { userAgent } from '../../lib/http/user-agent.ts';

test('The User-Agent has the version of package.json, and the job in characters that a header takes.', async () => {
  const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'));
  assert.equal(userAgent(), `solotick/${version}`);
  assert.equal(userAgent({ service: 'shop', job: 'models' }), `solotick/${version} (shop; models)`);
  const job = 'größe (a)\r\nx: y';
  assert.equal(userAgent({ service: 's;', job }), `solotick/${version} (s_; gr__e _a___x_ y)`);
  assert.ok(userAgent({ service: 'x'.repeat(5000), job: 'x'.repeat(5000) }).length < 250);
});
