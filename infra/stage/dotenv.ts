import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { settingsTable } from '../../lib/settings/config.ts';

/** Names that Node, the SDK and the logger read. */
const OTHERS = /^(AWS|NODE|POWERTOOLS)_|^TZ$/;

/** Reads `.env` in `folder`; `{}` if there is none. Warns of each name that nothing reads, because it is probably a typo. */
export function readDotenv(folder: string, warn: (line: string) => void): Record<string, string> {
  const file = join(folder, '.env');
  const variables = existsSync(file) ? (parseEnv(readFileSync(file, 'utf8')) as Record<string, string>) : {};
  for (const name of Object.keys(variables))
    if (!(name in settingsTable) && !OTHERS.test(name)) warn(`.env: ${name} is not a known setting`);
  return variables;
}
