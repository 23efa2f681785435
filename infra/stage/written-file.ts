import { parse } from 'yaml';

/** A stage's file as it is written, whatever is wrong with it. */
export type WrittenFile = { jobs?: unknown; settings?: unknown };

/** A job's block as it is written. */
export type WrittenBlock = { shards?: unknown; settings?: unknown };

/** Parses YAML, but keeps settings as text: the region 0012 is not the number 12. @throws YAMLParseError */
export function parseStageFile(yaml: string): WrittenFile {
  const values = Object(parse(yaml));
  const texts = Object(parse(yaml, { schema: 'failsafe' }));
  const { jobs } = values;
  const named = isNamed(jobs) && Object.entries(jobs).map(([job, block]) => [job, withTexts(block, texts.jobs[job])]);
  return { ...withTexts(values, texts), ...(named && { jobs: Object.fromEntries(named) }) };
}

/** The blocks of the jobs that are blocks, by name. */
export const blocksOf = ({ jobs }: WrittenFile): Map<string, WrittenBlock> =>
  new Map(
    isNamed(jobs) ? Object.entries(jobs).flatMap(([name, block]) => (isNamed(block) ? [[name, block]] : [])) : [],
  );

/** The settings that are text. */
export const settingsOf = ({ settings }: WrittenBlock | WrittenFile): Record<string, string> =>
  Object.fromEntries(
    isNamed(settings)
      ? Object.entries(settings).flatMap(([name, text]) => (typeof text === 'string' ? [[name, text]] : []))
      : [],
  );

const isNamed = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function withTexts<T>(value: T, text: unknown): T {
  const { settings } = Object(text);
  return settings === undefined ? value : { ...value, settings };
}
