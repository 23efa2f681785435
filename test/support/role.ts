/**
 * The etcdctl commands by which root gives a user exactly what a run needs: to read and write two prefixes. Leases need no
 * permission.
 *
 *     etcdctl role add NAME
 *     etcdctl role grant-permission NAME readwrite --prefix LOCK_KEY/
 *     etcdctl role grant-permission NAME readwrite --prefix STATE_PREFIX
 *     etcdctl user add NAME --new-user-password=PASSWORD
 *     etcdctl user grant-role NAME NAME
 */
export function limitedRole(options: { username: string; password: string; lockKey: string; statePrefix: string }) {
  const { username, password, lockKey, statePrefix } = options;
  return [
    ['role', 'add', username],
    ['role', 'grant-permission', username, 'readwrite', '--prefix', `${lockKey}/`],
    ['role', 'grant-permission', username, 'readwrite', '--prefix', statePrefix],
    ['user', 'add', username, `--new-user-password=${password}`],
    ['user', 'grant-role', username, username],
  ];
}

/** The etcdctl commands that turn authentication on:
 *
 *     etcdctl user add root --new-user-password=PASSWORD
 *     etcdctl user grant-role root root
 *     etcdctl auth enable
 */
export function enableAuth(root: { username: string; password: string }) {
  return [
    ['user', 'add', root.username, `--new-user-password=${root.password}`],
    ['user', 'grant-role', root.username, 'root'],
    ['auth', 'enable'],
  ];
}
