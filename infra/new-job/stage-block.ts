import { isMap, parseDocument } from 'yaml';

/**
 * Adds a job's block behind those that a stage's file has, and changes nothing else of the text.
 * @throws Error if there is no list of blocks, or one with this name
 */
export function addBlock(yaml: string, job: string, service: string, stage: string): string {
  const document = parseDocument(yaml);
  const jobs = document.get('jobs', true);
  const [first] = isMap(jobs) ? jobs.items : [];
  if (!isMap(jobs) || jobs.flow || !first)
    throw new Error('there are no blocks below "jobs:" behind which it could stand');
  if (jobs.has(job)) throw new Error(`there is a block jobs.${job} already`);
  const lineOf = (offset: number) => yaml.slice(yaml.lastIndexOf('\n', offset - 1) + 1, offset);
  const indent = lineOf((first.key as { range: [number, number, number] }).range[0]);
  const block = [
    `${job}:`,
    '  schedule: { expression: rate(15 minutes) }',
    `  secretId: ${service}/${stage}/${job}`,
    '  settings:',
    '    SOURCE_URL: https://source.example.com',
    '    TARGET_URL: https://target.example.com',
  ];
  const before = yaml.slice(0, jobs.range![1]).trimEnd();
  const after = yaml.slice(before.length).replace(/^[ \t]*\n/, '');
  return `${before}\n${block.map((line) => `${indent}${line}\n`).join('')}${after}`;
}
