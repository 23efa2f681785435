import type { Told } from '../support/told-metrics.ts';
import { POINTS, pointsOf } from './sample.ts';
import { escapeXml, type Sheet, widthOf } from './sheet.ts';
import { type Options, seriesOf, type Widget } from './widget-metrics.ts';

/** The colours that CloudWatch gives to series without one, in their order. */
const PALETTE = [
  '#1f77b4',
  '#ff7f0e',
  '#2ca02c',
  '#d62728',
  '#9467bd',
  '#8c564b',
  '#e377c2',
  '#7f7f7f',
  '#bcbd22',
  '#17becf',
];
const LEGEND_LINE_PX = 17;
const AXIS_PX = 48;

export interface Series extends Options {
  metric: Told;
  text: string;
  color: string;
}

interface Plot {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** Draws the curves and the legend of a metric widget. @returns its series, and the height that is left for the curves */
export function drawMetrics(
  { properties }: Widget,
  told: readonly Told[],
  sheet: Sheet,
  { left, width, height }: { left: number; width: number; height: number },
): { series: Series[]; plotPx: number } {
  const series = seriesOf(properties, told).map((row, index) => ({
    ...{ ...row, color: row.color ?? PALETTE[index % PALETTE.length]! },
  }));
  const legendPx = drawLegend(series, sheet, { left, width, height });
  const plot = { left: AXIS_PX, right: width + left - AXIS_PX, top: 58, bottom: height - legendPx - 28 };
  for (const side of ['left', 'right'] as const) drawSide(side, properties, series, plot, sheet);
  for (const [quarter, time] of ['12:00', '18:00', '00:00', '06:00', '12:00'].entries()) {
    const x = plot.left + (quarter / 4) * (plot.right - plot.left);
    sheet.write(time, { x, y: plot.bottom + 14, fontPx: 10, roomPx: 40, more: 'text-anchor="middle"' });
  }
  return { series, plotPx: plot.bottom - plot.top };
}

/** Below the curves, in as many lines as it needs. @returns its height */
function drawLegend(series: Series[], sheet: Sheet, at: { left: number; width: number; height: number }): number {
  let [x, line] = [0, 0];
  const items = series.map(({ text, color }) => {
    const itemPx = 15 + widthOf(text, 11) + 12;
    if (x > 0 && x + itemPx > at.width) [x, line] = [0, line + 1];
    const item = { x: at.left + x, line, text, color };
    x += itemPx;
    return item;
  });
  const heightPx = (line + 1) * LEGEND_LINE_PX;
  for (const { x, line, text, color } of items) {
    const y = at.height - heightPx + line * LEGEND_LINE_PX + 6;
    sheet.svg.push(`<rect x="${x}" y="${y - 9}" width="10" height="10" fill="${color}"/>`);
    sheet.write(text, { x: x + 15, y, fontPx: 11, roomPx: at.width - 15 });
  }
  return heightPx;
}

function drawSide(side: 'left' | 'right', of: Widget['properties'], all: Series[], plot: Plot, sheet: Sheet): void {
  const series = all.filter(({ yAxis = 'left' }) => yAxis === side);
  if (series.length === 0) return;
  const limits = (of.annotations?.horizontal ?? []).filter(({ yAxis = 'left' }) => yAxis === side);
  const curves = series.map(({ metric, stat }) => pointsOf(metric, stat));
  const most = 1.05 * Math.max(1, ...curves.flat(), ...limits.map(({ value }) => value));
  const yOf = (value: number) => plot.bottom - (value / most) * (plot.bottom - plot.top);
  const xOf = (at: number) => plot.left + (at / (POINTS - 1)) * (plot.right - plot.left);
  const [edge, anchor] = side === 'left' ? [plot.left - 5, 'end'] : [plot.right + 5, 'start'];
  for (const value of [0, most / 2, most]) {
    const y = yOf(value);
    if (side === 'left') sheet.line(plot.left, y, plot.right, y, 'stroke="#eaeded"');
    sheet.write(brief(value), { x: edge, y: y + 4, fontPx: 10, roomPx: AXIS_PX, more: `text-anchor="${anchor}"` });
  }
  const label = of.yAxis?.[side]?.label;
  if (label)
    sheet.write(label, { x: plot[side], y: 46, fontPx: 10, roomPx: 2 * AXIS_PX, more: 'text-anchor="middle"' });
  for (const { label, value } of limits) {
    sheet.line(plot.left, yOf(value), plot.right, yOf(value), 'stroke="#545b64" stroke-dasharray="4 3"');
    sheet.write(label, { x: plot.left + 4, y: yOf(value) - 4, fontPx: 10, roomPx: plot.right - plot.left });
  }
  for (const [index, { metric, color }] of series.entries()) {
    const points = curves[index]!.map((value, at) => `${xOf(at).toFixed(1)},${yOf(value).toFixed(1)}`).join(' ');
    const name = escapeXml(`${metric.namespace} ${metric.name} ${JSON.stringify(metric.dimensions)}`);
    sheet.svg.push(
      `<polyline data-metric="${name}" points="${points}" fill="none" stroke="${color}" stroke-width="1.5"/>`,
    );
  }
}

const brief = (value: number) => (value < 1e4 ? String(Number(value.toPrecision(2))) : `${Math.round(value / 1e3)}k`);
