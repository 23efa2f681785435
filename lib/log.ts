import { Logger } from '@aws-lambda-powertools/logger';

/** Where a module writes its lines: one JSON object each, and never a secret, a token or a record's body. */
export type Log = Pick<Logger, 'info' | 'warn' | 'error' | 'appendKeys'>;

/** The process's logger. Each line carries the job's name; keys appended later hold for one invocation. */
export function createLog(job: string): Logger {
  return new Logger({
    serviceName: 'solotick',
    persistentKeys: { job },
    // Parsers of HTTP hang what they could not read onto their error, and that may be a record, or a secret.
    jsonReplacerFn: (key, value) => (key === 'data' || key === 'rawPacket' ? 'left out' : value),
  });
}
