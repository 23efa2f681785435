import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { userAgent } from '../../lib/http/user-agent.ts';

test('The User-Agent has the version of package.json, and the job in characters that a header takes.', async () => {
  const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'));
  assert.equal(userAgent(), `solotick/${version}`);
  assert.equal(userAgent('models'), `solotick/${version} (models)`);
  assert.equal(userAgent('größe (a)\r\nx: y'), `solotick/${version} (gr__e _a___x_ y)`);
  assert.ok(userAgent('x'.repeat(5000)).length < 150);
});
