import { readFile } from 'node:fs/promises';
import { limitOf, type Row, rowTable } from './row.ts';

const LINE_PX = 34;
const LEFT_PX = 300;
const BAR_PX = 360;
const WIDTH_PX = 860;

/**
 * Draws the rows as an SVG. Each bar is a ratio, scaled so that the limits of all rows are at the same mark.
 */
export function chartOf(rows: Row[]): string {
  const height = rows.length * LINE_PX + 58;
  const markX = LEFT_PX + BAR_PX * 0.6;
  const lines = rows.map((row, index) => {
    const y = 40 + index * LINE_PX;
    const title = `<text x="${LEFT_PX - 12}" y="${y + 15}" text-anchor="end">${escapeXml(rowTable[row.name].title)}</text>`;
    if (row.ratio === null) return `${title}<text x="${LEFT_PX}" y="${y + 15}" class="quiet">not measured</text>`;
    const { text } = limitOf(row.name);
    const length = Math.min((row.ratio / row.limit) * (markX - LEFT_PX), BAR_PX);
    const label = `${row.ratio.toFixed(2)} <tspan class="quiet">${text}</tspan>`;
    return `${title}
<rect x="${LEFT_PX}" y="${y}" width="${length.toFixed(1)}" height="20" rx="3" class="${row.ok ? 'ok' : 'missed'}"/>
<text x="${LEFT_PX + BAR_PX + 14}" y="${y + 15}">${label}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH_PX}" height="${height}" viewBox="0 0 ${WIDTH_PX} ${height}" role="img">
<title>Each figure as a ratio to its limit or rival</title>
<style>text{font:13px system-ui,sans-serif;fill:#24292f}.quiet{fill:#6e7781}.ok{fill:#2da44e}.missed{fill:#d29922}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="${LEFT_PX}" y="24" class="quiet">ratio; the line is what it has to reach (at least) or to stay below (at most)</text>
${lines.join('\n')}
<line x1="${markX}" y1="32" x2="${markX}" y2="${height - 16}" stroke="#24292f" stroke-dasharray="3 3"/>
</svg>
`;
}

const escapeXml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

// Draws the last line of the output of `npm run bench -- --json`, which a file holds.
if (import.meta.main) {
  const text = await readFile(process.argv[2]!, 'utf8');
  process.stdout.write(chartOf(JSON.parse(text.trimEnd().split('\n').at(-1)!).rows));
}
