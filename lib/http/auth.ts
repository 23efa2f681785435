/** The `Authorization` header of HTTP's Basic scheme (RFC 7617). */
export const basicAuth = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
