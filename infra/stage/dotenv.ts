import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { settingsTable } from '../../lib/settings/config.ts';

/** What Node, the SDK and the logger read. */
const OTHERS = /^(AWS|NODE|POWERTOOLS)_|^TZ$/;

/** Reads `.env` in `folder`, where there is one; of a name that nothing reads, most likely a slip, `warn` is told. */
export function readDotenv(folder: string, warn: (line: string) => void): Record<string, string> {
  const file = join(folder, '.env');
  const given = existsSync(file) ? (parseEnv(readFileSync(file, 'utf8')) as Record<string, string>) : {};
  for (const name of Object.keys(given))
    if (!(name in settingsTable) && !OTHERS.test(name)) warn(`.env: ${name} is not a setting that is known here`);
  return given;
}
