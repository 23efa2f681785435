import { readFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { type Arrow, arrowsBetween, FOLDERS, folderOf, relativeImports, roomOf, shortestWay } from './arrows.ts';
import { type DrawnArrow, parseDrawing } from './drawing.ts';
import { type File, readFiles } from './source-files.ts';

const DRAWING = 'ARCHITECTURE.md';
/** What must not be imported from where, whatever is drawn. */
const FORBIDDEN: Record<string, string[]> = {
  lib: ['functions', 'infra', 'test'],
  functions: ['test'],
  infra: ['test'],
};
/** Packages that describe and check what comes in from outside: any room may read something from there. */
const SHARED_PACKAGES = ['valibot', '@standard-schema/spec'];

/** What is wrong with the imports of the tree at this root, a line each; none means that the rules hold. */
export async function checkRooms(root: string): Promise<string[]> {
  const files = await readFiles(root, FOLDERS);
  const arrows = arrowsBetween(files);
  let drawn: DrawnArrow[];
  try {
    drawn = parseDrawing(await readFile(join(root, DRAWING), 'utf8'));
  } catch (error) {
    return [`${DRAWING}: ${(error as Error).message}`];
  }
  return [
    ...forbidden(files),
    ...notDrawn(arrows, drawn),
    ...gone(arrows, drawn),
    ...circles(arrows),
    ...sharedPackages(files),
  ];
}

function forbidden(files: File[]): string[] {
  return [...relativeImports(files)]
    .filter(({ path, target }) => FORBIDDEN[folderOf(path)]?.includes(folderOf(target)))
    .map(({ path, line, target }) => {
      const rule = `${folderOf(path)} must not import ${folderOf(target)}`;
      return `${path}:${line}: ${rule} (${target}): pass in what it needs, or move the code`;
    });
}

function notDrawn(arrows: Arrow[], drawn: DrawnArrow[]): string[] {
  return arrows
    .filter(({ from, to }) => !drawn.some((arrow) => arrow.from.includes(from) && arrow.to.includes(to)))
    .flatMap(({ from, to, imports }) =>
      imports.map((place) => {
        const remedy = `pass in what ${from} needs, move the code, or draw the arrow if it is meant`;
        return `${place}: ${DRAWING} draws no arrow ${from} --> ${to}: ${remedy}`;
      }),
    );
}

function gone(arrows: Arrow[], drawn: DrawnArrow[]): string[] {
  return drawn
    .filter((one) => !arrows.some(({ from, to }) => one.from.includes(from) && one.to.includes(to)))
    .map(
      ({ line, text }) => `${DRAWING}:${line}: the code no longer has the arrow ${text}: delete it from the drawing`,
    );
}

function circles(arrows: Arrow[]): string[] {
  const found = new Map<string, string>();
  for (const { from, to } of arrows) {
    const back = shortestWay(arrows, to, from);
    if (!back) continue;
    const first = back.indexOf(back.toSorted()[0]!);
    const circle = [...back.slice(first), ...back.slice(0, first)];
    const places = circle.map((room, index) => {
      const next = circle[(index + 1) % circle.length];
      return arrows.find((arrow) => arrow.from === room && arrow.to === next)!.imports[0];
    });
    const way = [...circle, circle[0]].join(' --> ');
    found.set(way, `${places[0]}: the rooms form a circle, ${way}: cut one of its arrows (${places.join(', ')})`);
  }
  return [...found.values()];
}

/** The room of lib with the most imports of a package counts as its owner. */
function sharedPackages(files: File[]): string[] {
  const uses = files
    .filter(({ path }) => folderOf(path) === 'lib')
    .flatMap(({ path, imports }) =>
      imports.map(({ specifier, line }) => ({
        name: packageOf(specifier),
        room: roomOf(path),
        place: `${path}:${line}`,
      })),
    )
    .filter(({ name }) => name && !SHARED_PACKAGES.includes(name));
  return Object.entries(Object.groupBy(uses, ({ name }) => name!)).flatMap(([name, ofPackage = []]) => {
    const rooms = Object.values(Object.groupBy(ofPackage, ({ room }) => room)).sort((a, b) => b!.length - a!.length);
    const owner = rooms[0]![0]!;
    return rooms
      .slice(1)
      .flatMap((others) => others!)
      .map(({ place }) => {
        const remedy = `one room of lib owns a package, so use what ${owner.room} exports, or export it there`;
        return `${place}: ${name} belongs to the room ${owner.room} (${owner.place}): ${remedy}`;
      });
  });
}

function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('.') || isBuiltin(specifier)) return undefined;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '../..');
  if (process.argv.includes('--draw')) {
    // What the drawing would say of the imports as they are.
    const arrows = Object.entries(Object.groupBy(arrowsBetween(await readFiles(root, FOLDERS)), ({ from }) => from));
    for (const [from, targets = []] of arrows) console.log(`  ${from} --> ${targets.map(({ to }) => to).join(' & ')}`);
  } else {
    const faults = await checkRooms(root);
    for (const fault of faults) console.error(fault);
    if (faults.length > 0) process.exitCode = 1;
  }
}
