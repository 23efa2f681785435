import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';

/** Names that Node, the SDK and the logger read, and settings that the commands on this machine take from elsewhere. */
const OTHERS = /^(AWS|NODE|POWERTOOLS)_|^(TZ|STAGE|SERVICE|SHARDS|JOB)$/;

/**
 * Reads `.env` in `folder`; `{}` if there is none. Warns of each name that nothing reads, because it is probably a typo.
 * @param known the names of the settings
 */
export function readDotenv(
  folder: string,
  known: ReadonlySet<string>,
  warn: (line: string) => void,
): Record<string, string> {
  const file = join(folder, '.env');
  const variables = existsSync(file) ? (parseEnv(readFileSync(file, 'utf8')) as Record<string, string>) : {};
  for (const name of Object.keys(variables))
    if (!known.has(name) && !OTHERS.test(name)) warn(`.env: ${name} is not a known setting`);
  return variables;
}
