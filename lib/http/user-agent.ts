/** The version in package.json; a test compares. */
const VERSION = '0.1.0';

/** Who asks, for the operator of a server. */
export interface Agent {
  service: string;
  job: string;
}

/** How we name ourselves to a server, so that its operator knows whom to ask. */
export function userAgent(of?: Agent): string {
  const comment = of ? ` (${[of.service, of.job].map(inHeader).join('; ')})` : '';
  return `solotick/${VERSION}${comment}`;
}

const inHeader = (text: string) => text.slice(0, 100).replace(/[^\w.~ -]/g, '_');
