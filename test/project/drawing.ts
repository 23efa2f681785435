/** One drawn arrow and the rooms at its ends: a room each, or those of a subgraph, each of which may then have it. */
export type DrawnArrow = { line: number; text: string; from: string[]; to: string[] };

const HEADING = '## Rooms';
/** Lines that only arrange the picture. */
const LAYOUT = /^(flowchart|graph|direction|classDef|class|style|linkStyle)\b/;

/**
 * The arrows of the Mermaid flowchart under "## Rooms". It understands `a --> b`, chains of it, `a & b --> c & d`, labels,
 * comments, and subgraphs, whose rooms are those that stand on lines of their own in it.
 *
 * @throws Error with the line that it does not understand, or when there is no such flowchart.
 */
export function parseDrawing(markdown: string): DrawnArrow[] {
  const lines = markdown.split('\n');
  const heading = lines.indexOf(HEADING);
  const start = heading < 0 ? -1 : lines.findIndex((line, index) => index > heading && line.trim() === '```mermaid');
  const end = lines.indexOf('```', start);
  if (start < 0 || end < 0) throw new Error(`there is no \`\`\`mermaid block under the heading "${HEADING}": draw it`);

  const arrows: { line: number; from: string; to: string }[] = [];
  const subgraphs = new Map<string, string[]>();
  const open: string[][] = [];
  for (let index = start + 1; index < end; index++) {
    const text = lines[index]!.replace(/%%.*/, '').trim();
    if (text === '' || LAYOUT.test(text)) continue;
    if (text === 'end') {
      open.pop();
    } else if (text.startsWith('subgraph ')) {
      const rooms: string[] = [];
      subgraphs.set(text.split(/[ [(]/)[1]!, rooms);
      open.push(rooms);
    } else {
      const groups = nodesOf(text);
      if (!groups) throw new Error(`line ${index + 1} is not understood: "${text}". Write an arrow as "from --> to"`);
      if (groups.length === 1) for (const rooms of open) rooms.push(...groups[0]!);
      for (const [step, to] of groups.slice(1).entries()) {
        for (const from of groups[step]!) arrows.push(...to.map((name) => ({ line: index + 1, from, to: name })));
      }
    }
  }
  const rooms = (name: string) => subgraphs.get(name) ?? [name];
  return arrows.map(({ line, from, to }) => ({ line, text: `${from} --> ${to}`, from: rooms(from), to: rooms(to) }));
}

/** `a & b --> c` becomes `[[a, b], [c]]`. */
function nodesOf(text: string): string[][] | undefined {
  const groups = text.split(/-->(?:\|[^|]*\|)?/).map((group) => group.split('&').map(withoutLabel));
  return groups.flat().every((name) => name !== undefined) ? (groups as string[][]) : undefined;
}

const withoutLabel = (node: string) => /^([\w/.-]+)\s*([[({].*[\])}])?$/.exec(node.trim())?.[1];
