import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Node, SourceFile } from 'typescript/unstable/ast';
import {
  isCallExpression,
  isExportDeclaration,
  isFunctionLikeDeclaration,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isStringLiteral,
  SyntaxKind,
} from 'typescript/unstable/ast';
import { API } from 'typescript/unstable/sync';

/** One import of a module: static, dynamic, of types only, or a re-export. */
export type Import = { specifier: string; line: number };

/** The lines of one function from its first to its last, and how many are left without the functions inside it. */
export type FunctionSize = { name: string; line: number; lines: number; ownLines: number };

/** A TypeScript file as the checks see it; `path` is relative to the root and has forward slashes. */
export type File = { path: string; lines: number; imports: Import[]; functions: FunctionSize[] };

/** Parses every TypeScript file in these folders of the root; a folder that does not exist has none. */
export async function readFiles(root: string, folders: string[]): Promise<File[]> {
  const paths = (await Promise.all(folders.map((folder) => typescriptIn(join(root, folder))))).flat().sort();
  return parse(root, paths).map((source, index) => ({
    path: relative(root, paths[index]!).replaceAll(sep, '/'),
    lines: source.getLineStarts().length - (source.text.endsWith('\n') ? 1 : 0),
    imports: importsOf(source),
    functions: functionsOf(source, source).functions,
  }));
}

async function typescriptIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch((error) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names.filter((name) => /\.tsx?$/.test(name)).map((name) => join(folder, name));
}

/** TypeScript 7 parses in its native process. The project file exists in memory only, so any folder will do. */
function parse(root: string, files: string[]): SourceFile[] {
  const config = join(root, 'tsconfig.in-memory.json');
  const content = JSON.stringify({ compilerOptions: { noResolve: true, noLib: true, types: [], noEmit: true }, files });
  const api = new API({
    cwd: root,
    fs: {
      readFile: (path) => (path === config ? content : undefined),
      fileExists: (path) => path === config || undefined,
    },
  });
  try {
    const { program } = api.updateSnapshot({ openProjects: [config] }).getProject(config)!;
    return files.map((file) => program.getSourceFile(file)!);
  } finally {
    api.close();
  }
}

const lineOf = (source: SourceFile, position: number) => source.getLineAndCharacterOfPosition(position).line + 1;

function importsOf(source: SourceFile): Import[] {
  const imports: Import[] = [];
  const visit = (node: Node) => {
    const name = moduleNamedBy(node);
    if (name && isStringLiteral(name)) {
      imports.push({ specifier: name.text, line: lineOf(source, name.getStart(source)) });
    }
    node.forEachChild(visit);
  };
  visit(source);
  return imports;
}

function moduleNamedBy(node: Node): Node | undefined {
  if (isImportDeclaration(node) || isExportDeclaration(node)) return node.moduleSpecifier;
  if (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) return node.arguments[0];
  if (isImportTypeNode(node) && isLiteralTypeNode(node.argument)) return node.argument.literal;
  return undefined;
}

/**
 * The functions below a node, outermost first. `inside` is the number of lines that they take from the function around
 * them: each leaves it the line on which it begins, so `(record) => record.id` takes nothing.
 */
function functionsOf(node: Node, source: SourceFile): { functions: FunctionSize[]; inside: number } {
  const functions: FunctionSize[] = [];
  let inside = 0;
  node.forEachChild((child) => {
    const below = functionsOf(child, source);
    if (isFunctionLikeDeclaration(child) && child.body) {
      const line = lineOf(source, child.getStart(source));
      const lines = lineOf(source, child.getEnd()) - line + 1;
      functions.push({ name: nameOf(child, source), line, lines, ownLines: lines - below.inside });
      inside += lines - 1;
    } else {
      inside += below.inside;
    }
    functions.push(...below.functions);
  });
  return { functions, inside };
}

/** A function's own name, or that of the variable, property or call that it is given to. */
function nameOf(node: Node, source: SourceFile): string {
  for (let at = node; at.kind !== SyntaxKind.SourceFile; at = at.parent) {
    const named = at as { name?: Node; expression?: Node };
    if (named.name) return named.name.getText(source);
    if (isCallExpression(at)) return `the function given to ${at.expression.getText(source).split('\n')[0]}`;
  }
  return 'a function';
}
