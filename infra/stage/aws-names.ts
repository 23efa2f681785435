/** The most characters that AWS takes in the name of a function and of a schedule. */
const MAX_LENGTH = 64;

/** What stands before the names of all that belongs to a job. */
export const namePrefix = (service: string, stage: string, job: string) => `${service}-${stage}-${job}`;

/** Says why AWS would not take the names that follow from a job's, or nothing. */
export function describeBadName(service: string, stage: string, job: string, shards: number): string | undefined {
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(job))
    return 'is no name for a job: write lower-case letters, digits and single hyphens, because it is part of names in AWS';
  const suffixes = ['backfill', ...(shards > 1 ? [`sync-${shards - 1}-of-${shards}`] : [])];
  const longest = suffixes.map((suffix) => `${namePrefix(service, stage, job)}-${suffix}`);
  const tooLong = longest.find((name) => name.length > MAX_LENGTH);
  return (
    tooLong &&
    `gives ${tooLong} of ${tooLong.length} characters, and AWS takes ${MAX_LENGTH}: shorten the name of job, stage or service`
  );
}

/** The name of a job, or of a function, as osls writes it in the ids of a template. */
export function logicalName(name: string): string {
  const text = name.replaceAll('-', 'Dash');
  return text.charAt(0).toUpperCase() + text.slice(1);
}
