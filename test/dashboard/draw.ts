import { parseQuery } from '../support/insights.ts';
import type { Told } from '../support/told-metrics.ts';
import { drawMetrics, type Series } from './draw-metrics.ts';
import { sampleLines } from './sample.ts';
import { openSheet, type Sheet, type Text } from './sheet.ts';
import type { Widget } from './widget-metrics.ts';

/** CloudWatch's grid in a window of 1440 pixels. */
const COLUMN_PX = 60;
const ROW_PX = 50;
const GAP_PX = 4;
const PADDING_PX = 14;
const ALARMS_IN_A_LINE = 6;
const ALARM_PX = 40;
const LOG_LINE_PX = 22;
/** The columns of a log's table whose values are short; the others share what is left. */
const NARROW_PX: Record<string, number> = { '@timestamp': 170, job: 110 };

export interface Drawn {
  widget: Widget;
  /** The title first, then legend, axes, alarms or headings. */
  texts: Text[];
  /** Those of a metric widget. */
  series: Series[];
  /** The height that is left for its curves; 0 where there are none. */
  plotPx: number;
}

/**
 * Draws a dashboard's body with sample data, as one SVG that needs nothing else.
 * @param told the metrics among which its searches look
 */
export function drawDashboard(widgets: readonly Widget[], told: readonly Told[]): { svg: string; drawn: Drawn[] } {
  const drawn: Drawn[] = [];
  const parts = widgets.map((widget) => {
    const sheet = openSheet();
    drawn.push({ widget, texts: sheet.texts, ...drawWidget(widget, told, sheet) });
    const place = `translate(${widget.x * COLUMN_PX},${widget.y * ROW_PX})`;
    return `<g class="widget" transform="${place}">\n${sheet.svg.join('\n')}\n</g>`;
  });
  const [width, height] = [24 * COLUMN_PX, Math.max(...widgets.map(({ y, height }) => y + height)) * ROW_PX];
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<style>text{font-family:"Amazon Ember","Helvetica Neue",Roboto,Arial,sans-serif;fill:#16191f}</style>
<rect width="100%" height="100%" fill="#f2f3f3"/>
${parts.join('\n')}
</svg>
`;
  return { svg, drawn };
}

function drawWidget(widget: Widget, told: readonly Told[], sheet: Sheet): Pick<Drawn, 'series' | 'plotPx'> {
  const { properties, type } = widget;
  const [width, height] = [widget.width * COLUMN_PX - 2 * GAP_PX, widget.height * ROW_PX - 2 * GAP_PX];
  sheet.svg.push(
    `<rect x="${GAP_PX}" y="${GAP_PX}" width="${width}" height="${height}" fill="#fff" stroke="#d5dbdb"/>`,
  );
  const roomPx = width - 2 * PADDING_PX;
  const fontPx = type === 'text' ? 18 : 14;
  const title = properties.title ?? properties.markdown?.replace(/^#+ /, '') ?? '';
  sheet.write(title, { x: PADDING_PX, y: 27, fontPx, roomPx, more: 'font-weight="700"' });
  const drawn = { series: [], plotPx: 0 };
  if (type === 'metric') return drawMetrics(widget, told, sheet, { left: PADDING_PX, width: roomPx, height });
  if (type === 'alarm') drawAlarms(properties.alarms ?? [], sheet, { width, height });
  else if (type === 'log') drawLog(properties.query!, sheet, roomPx);
  else if (type !== 'text') throw new Error(`nobody has said how to draw a widget of the type ${type}`);
  return drawn;
}

/** As many as there is room for: the rest is below, a scroll away. */
function drawAlarms(arns: string[], sheet: Sheet, { width, height }: { width: number; height: number }) {
  const tilePx = width / ALARMS_IN_A_LINE;
  const lines = Math.floor((height - 30) / ALARM_PX);
  for (const [index, arn] of arns.slice(0, lines * ALARMS_IN_A_LINE).entries()) {
    const x = GAP_PX + (index % ALARMS_IN_A_LINE) * tilePx;
    const y = 36 + Math.floor(index / ALARMS_IN_A_LINE) * ALARM_PX;
    // Somebody who looks at the picture should see one that has gone off.
    const color = index === 0 ? '#d13212' : '#1d8102';
    const style = `fill="${color}" fill-opacity="0.12" stroke="${color}"`;
    sheet.svg.push(`<rect x="${x + 3}" y="${y}" width="${tilePx - 6}" height="${ALARM_PX - 6}" ${style}/>`);
    sheet.write(arn.split(':').at(-1)!, { x: x + 9, y: y + 21, fontPx: 11, roomPx: tilePx - 16 });
  }
}

/** The table of what the query itself finds in some lines. */
function drawLog(query: string, sheet: Sheet, roomPx: number) {
  const names = query
    .match(/\| fields (.*)$/m)![1]!
    .split(', ')
    .map((name) => name.trim());
  const wide = names.filter((name) => NARROW_PX[name] === undefined);
  const narrowPx = names.reduce((sum, name) => sum + (NARROW_PX[name] ?? 0), 0);
  const rows = parseQuery(query).run(sampleLines);
  let x = PADDING_PX;
  for (const name of names) {
    const cellPx = NARROW_PX[name] ?? (roomPx - narrowPx) / wide.length;
    const cell = { x, fontPx: 12, roomPx: cellPx - 8 };
    sheet.write(name, { ...cell, y: 54, more: 'font-weight="700"' });
    for (const [index, row] of rows.entries()) {
      const value = name === '@timestamp' ? row.timestamp : row[name];
      sheet.write(String(value ?? ''), { ...cell, y: 54 + (index + 1) * LOG_LINE_PX });
    }
    x += cellPx;
  }
}
