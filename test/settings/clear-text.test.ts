import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkClearText } from '../../lib/settings/clear-text.ts';
import { startWorld } from '../support/world.ts';

const user = { username: 'solotick', password: 'hunter2' };
const certified = { ca: 'hunter2 ca', cert: 'hunter2 cert', key: 'hunter2 key' };
const settings = (etcdEndpoints: string[], etcdAllowInsecureAuth = false) => ({ etcdEndpoints, etcdAllowInsecureAuth });

test('Credentials for etcd and an http:// endpoint are a SettingsError that names both, and no secret.', () => {
  const endpoints = ['https://etcd-1.example:2379', 'http://etcd-2.example:2379', 'http://127.0.0.1.example:2379'];
  for (const [secret, parts] of [
    [user, 'etcd.username, etcd.password'],
    [{ ca: certified.ca }, 'etcd.ca'],
    [certified, 'etcd.ca, etcd.cert, etcd.key'],
  ] as const) {
    assert.throws(
      () => checkClearText(settings(endpoints), secret),
      ({ name, message }: Error) => {
        assert.ok(message.startsWith(`the secret has ${parts}, but ETCD_ENDPOINTS `), message);
        assert.match(message, /to http:\/\/etcd-2\.example:2379, http:\/\/127\.0\.0\.1\.example:2379: write https/);
        assert.doesNotMatch(message, /hunter2|etcd-1/);
        return name === 'SettingsError';
      },
    );
  }
  for (const host of ['10.0.0.1', '[fe80::1]', '128.0.0.1', 'localhost.example', '0.0.0.0', '[::]'])
    assert.throws(() => checkClearText(settings([`http://${host}:2379`]), user), { code: 'SETTINGS' }, host);
});

test('Loopback addresses, https:// endpoints, a secret without etcd, and a setting that says so are all right.', () => {
  const loopback = ['127.0.0.1', '127.8.9.10', 'localhost', 'LOCALHOST', '[::1]', '[0:0:0:0:0:0:0:1]'];
  const endpoints = loopback.map((host) => `http://${host}:2379`);
  for (const secret of [user, certified]) {
    checkClearText(settings([...endpoints, 'https://etcd.example:2379']), secret);
    checkClearText(settings(['http://etcd.example:2379'], true), secret);
  }
  checkClearText(settings(['http://etcd.example:2379']), {});
});

test('Every function refuses to send credentials in clear text before it connects.', async () => {
  await using world = await startWorld({ endpoints: ['http://etcd.example:2379'], records: [] });
  world.secrets.put('world', { source: world.source.credentials, target: { token: world.target.token }, etcd: user });
  const refused = { name: 'SettingsError', code: 'SETTINGS', message: /ETCD_ALLOW_INSECURE_AUTH/ };
  await assert.rejects(world.tick(), refused);
  await assert.rejects(world.backfill(), refused);
  await assert.rejects(world.control({ action: 'status' }), refused);
});
