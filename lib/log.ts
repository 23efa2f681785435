import { Logger } from '@aws-lambda-powertools/logger';

/** Writes one JSON object a line, never with a secret, a token or a record's body. */
export type Log = Pick<Logger, 'info' | 'warn' | 'error' | 'appendKeys'>;

/** The process's logger. Each line carries the job's name; keys appended later last for one invocation. */
export function createLog(job: string): Logger {
  return new Logger({
    serviceName: 'solotick',
    persistentKeys: { job },
    // HTTP parsers attach the bytes that they could not read to their error: perhaps a record, perhaps a secret.
    jsonReplacerFn: (key, value) => (key === 'data' || key === 'rawPacket' ? 'left out' : value),
  });
}
