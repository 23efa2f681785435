import { SettingsError } from '../errors.ts';

/** What the secret holds for etcd. */
type EtcdSecret = { [part in 'username' | 'password' | 'ca' | 'cert' | 'key']?: string | undefined };

/** `localhost`, `127.0.0.0/8` and `::1`, in the form that URLs normalise to. */
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/**
 * Checks that nobody on the way can read a password that is meant for etcd. Who puts an authority or a certificate into the
 * secret expects TLS, so an `http://` endpoint is a mistake then, too. Loopback addresses never leave the machine.
 * @throws SettingsError that names the endpoints
 */
export function checkClearText(
  settings: { etcdEndpoints: readonly string[]; etcdAllowInsecureAuth: boolean },
  etcd: EtcdSecret,
): void {
  if (settings.etcdAllowInsecureAuth) return;
  const parts = (['username', 'password', 'ca', 'cert', 'key'] as const).filter((part) => etcd[part] !== undefined);
  const inClear = settings.etcdEndpoints.filter((endpoint) => {
    const { protocol, hostname } = new URL(endpoint);
    return protocol === 'http:' && !LOOPBACK.test(hostname);
  });
  if (parts.length === 0 || inClear.length === 0) return;
  throw new SettingsError(
    `the secret has etcd.${parts.join(', etcd.')}, but ETCD_ENDPOINTS would send in clear text to ${inClear.join(', ')}: ` +
      'write https://, or set ETCD_ALLOW_INSECURE_AUTH to true',
  );
}
