/** The version in package.json; a test compares. */
const VERSION = '0.1.0';

/** How we name ourselves to a server, so that its operator knows whom to ask. */
export const userAgent = (jobName = ''): string =>
  `solotick/${VERSION}${jobName && ` (${jobName.slice(0, 100).replace(/[^\w.~ -]/g, '_')})`}`;
