import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { arrowsBetween, FOLDERS, folderOf, roomOf } from './arrows.ts';
import { type File, readFiles } from './source-files.ts';

const CODE_LINES_GOAL = 4600;
const MAX_FILE_LINES = 150;
const MAX_FUNCTION_LINES = 100;
/** A function may be longer than this only by the functions inside it. */
const MAX_OWN_LINES = 70;
const MAX_README_LINES = 200;

/** The figures of the code at this root, a line each, and what exceeds a limit. */
export async function measure(root: string): Promise<{ figures: string[]; faults: string[] }> {
  const files = await readFiles(root, FOLDERS);
  const readmeLines = (await readFile(join(root, 'README.md'), 'utf8')).trimEnd().split('\n').length;
  const functions = files.flatMap((file) => file.functions.map((one) => ({ ...one, at: `${file.path}:${one.line}` })));
  const tooLong = functions.filter(({ lines }) => lines > MAX_FUNCTION_LINES);
  const long = functions.filter(({ lines }) => lines > MAX_OWN_LINES && lines <= MAX_FUNCTION_LINES);
  const longFiles = files.filter(({ lines }) => lines > MAX_FILE_LINES);
  const codeLines = linesOf(files, 'functions') + linesOf(files, 'lib');

  const sizeOf = ({ at, name, lines, ownLines }: (typeof functions)[number]) =>
    `${at}: ${name} has ${lines} lines, ${ownLines} of them outside the functions inside it`;
  const figures = [
    `lines of functions and lib: ${codeLines} (goal: at most ${CODE_LINES_GOAL})`,
    `lines of infra: ${linesOf(files, 'infra')}`,
    `lines of README.md: ${readmeLines} (at most ${MAX_README_LINES})`,
    `rooms: ${new Set(files.map(({ path }) => roomOf(path))).size}, arrows between them: ${arrowsBetween(files).length}`,
    `files of more than ${MAX_FILE_LINES} lines: ${longFiles.length}`,
    ...longFiles.map(({ path, lines }) => `  ${path}: ${lines} lines`),
    `functions of more than ${MAX_FUNCTION_LINES} lines: ${tooLong.length}`,
    ...tooLong.map((one) => `  ${sizeOf(one)}`),
    `functions of ${MAX_OWN_LINES + 1} to ${MAX_FUNCTION_LINES} lines: ${long.length}`,
    ...long.map((one) => `  ${sizeOf(one)}`),
  ];
  const faults = [
    ...tooLong.map((one) => `${sizeOf(one)}: divide it, ${MAX_FUNCTION_LINES} lines are the limit`),
    ...long
      .filter(({ ownLines }) => ownLines > MAX_OWN_LINES)
      .map((one) => `${sizeOf(one)}: divide it, only a closure of small functions has more than ${MAX_OWN_LINES}`),
  ];
  if (readmeLines > MAX_README_LINES) {
    const remedy = 'move what is not for a first reader beside the code';
    faults.push(`README.md: it has ${readmeLines} lines, ${MAX_README_LINES} are the limit: ${remedy}`);
  }
  return { figures, faults };
}

const linesOf = (files: File[], folder: string) =>
  files.filter(({ path }) => folderOf(path) === folder).reduce((sum, { lines }) => sum + lines, 0);

if (import.meta.main) {
  const { figures, faults } = await measure(join(import.meta.dirname, '../..'));
  for (const figure of figures) console.log(figure);
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) process.exitCode = 1;
}
