import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { metricUnits } from '../../lib/run/metrics.ts';
import { nameOf } from '../support/told-metrics.ts';
import { drawDashboard } from './draw.ts';
import { sampleDashboard } from './sample-dashboard.ts';
import { escapeXml } from './sheet.ts';
import { found, rowsOf } from './widget-metrics.ts';

/** CloudWatch has ten colours, and begins again with the first. */
const COLOURS = 10;
/** Below this height, curves are no more than a line. */
const MIN_PLOT_PX = 120;

let dashboard: Awaited<ReturnType<typeof sampleDashboard>>;
before(async () => {
  dashboard = await sampleDashboard();
});

test('Every widget of the template is drawn, each metric widget with each of its metrics, in a colour of its own.', () => {
  const { widgets, drawn, svg } = dashboard;
  assert.deepEqual(
    drawn.map(({ widget }) => widget),
    widgets,
  );
  assert.equal(svg.match(/<g class="widget"/g)?.length, widgets.length);
  assert.deepEqual([...new Set(widgets.map(({ type }) => type))].sort(), ['alarm', 'log', 'metric', 'text']);
  const curves = svg.match(/<polyline data-metric="[^"]*"/g)!;
  for (const { widget, series, plotPx, texts } of drawn.filter(({ widget }) => widget.type === 'metric')) {
    const { title } = widget.properties;
    const rows = rowsOf(widget.properties);
    assert.ok(rows.length > 0 && series.length >= rows.filter((row) => 'metric' in row).length, title);
    for (const { metric, text } of series) {
      const curve = `<polyline data-metric="${escapeXml(`${metric.namespace} ${metric.name} ${JSON.stringify(metric.dimensions)}`)}"`;
      assert.ok(curves.includes(curve), `${title}: ${nameOf(metric)} is not drawn`);
      assert.ok(
        texts.some((one) => one.text === text),
        `${title}: ${text} is not in the legend`,
      );
    }
    assert.ok(series.length <= COLOURS, `${title} has ${series.length} series`);
    assert.equal(new Set(series.map(({ color }) => color)).size, series.length, `${title}: two series of one colour`);
    assert.ok(plotPx >= MIN_PLOT_PX, `${title}: ${plotPx} pixels are left for the curves`);
  }
  assert.equal(
    curves.length,
    drawn.reduce((sum, { series }) => sum + series.length, 0),
  );
  // Nothing from another host.
  assert.deepEqual(svg.match(/https?:\/\/[^"]*/g), ['http://www.w3.org/2000/svg']);
});

test('No widget covers another, none is outside of the grid, and each line is full.', () => {
  const taken = new Map<string, string>();
  for (const { type, x, y, width, height, properties } of dashboard.widgets) {
    const name = properties.title ?? properties.markdown ?? type;
    assert.ok(x >= 0 && y >= 0 && x + width <= 24, `${name} is outside`);
    for (let column = x; column < x + width; column++)
      for (let row = y; row < y + height; row++) {
        const cell = `${column},${row}`;
        assert.ok(!taken.has(cell), `${name} covers ${taken.get(cell)}`);
        taken.set(cell, name);
      }
  }
  const rows = Math.max(...dashboard.widgets.map(({ y, height }) => y + height));
  assert.equal(taken.size, 24 * rows);
});

test('Titles, legends, names of alarms and headings have room, with a job of a long name as well.', () => {
  const { widgets, told } = dashboard;
  const longer = JSON.parse(JSON.stringify(widgets).replaceAll('"models: ', '"a-job-with-a-longer-name: '));
  for (const { widget, texts } of [...dashboard.drawn, ...drawDashboard(longer, told).drawn]) {
    assert.ok(texts[0]!.text.length > 0, `a ${widget.type} widget has no title`);
    // What records and servers say may be longer than any cell of a log's table.
    const own = widget.type === 'log' ? texts.filter(({ text }) => /^[@\w.]+$/.test(text)) : texts;
    for (const { text, widthPx, roomPx } of own)
      assert.ok(widthPx <= roomPx, `"${text}" needs ${Math.ceil(widthPx)} pixels and has ${Math.floor(roomPx)}`);
  }
});

test('Every alarm of the stage is on the dashboard, with room for its name; those that went off come first.', () => {
  const { resources, drawn } = dashboard;
  const alarms = drawn.filter(({ widget }) => widget.type === 'alarm');
  const shown = alarms.flatMap(({ texts }) => texts.slice(1).map(({ text }) => text));
  const names = Object.values(resources).flatMap(({ Type: type, Properties: properties }) =>
    type === 'AWS::CloudWatch::Alarm' ? [String(properties.AlarmName)] : [],
  );
  assert.ok(names.length > 15);
  assert.deepEqual(shown.sort(), names.sort());
  for (const { widget } of alarms)
    assert.partialDeepStrictEqual(widget.properties, { sortBy: 'stateUpdatedTimestamp' });
});

test('Every metric that a widget or an alarm names is one that some run tells; every search finds some of a divided job.', () => {
  const { widgets, resources, told } = dashboard;
  const tellable = new Set(told.map(nameOf));
  const units = new Set(Object.keys(metricUnits));
  const rows = widgets.flatMap(({ properties }) => rowsOf(properties).map((row) => ({ row, title: properties.title })));
  const named = rows.flatMap(({ row, title }) => ('metric' in row ? [{ metric: row.metric, by: title }] : []));
  for (const { Type: type, Properties: properties } of Object.values(resources)) {
    if (type !== 'AWS::CloudWatch::Alarm') continue;
    const { Metrics, AlarmName, ...own } = properties as unknown as Watch & {
      Metrics?: { MetricStat?: { Metric: Watch } }[];
    };
    const watched = Metrics?.flatMap(({ MetricStat }) => MetricStat?.Metric ?? []) ?? [own];
    for (const { Namespace: namespace, MetricName: name, Dimensions = [] } of watched) {
      const dimensions = Object.fromEntries(Dimensions.map(({ Name, Value }) => [Name, Value]));
      named.push({ metric: { namespace, name, dimensions }, by: AlarmName });
    }
  }
  const ours = named.filter(({ metric }) => metric.namespace === 'solotick');
  assert.ok(ours.length > 50);
  for (const { metric, by } of ours) {
    assert.ok(units.has(metric.name), `${by}: ${metric.name} is not in metricUnits`);
    assert.ok(tellable.has(nameOf(metric)), `${by}: no run tells ${nameOf(metric)}`);
  }
  const searches = rows.flatMap(({ row, title }) => ('expression' in row ? [{ ...row, title }] : []));
  assert.ok(searches.length > 8);
  for (const { expression, title } of searches)
    if (!expression.includes('job="prices"')) assert.ok(found(expression, told).length > 0, `${title}: ${expression}`);
  // No metric of the timer is told for nobody.
  const seen = new Set(named.map(({ metric }) => nameOf(metric)));
  for (const metric of told)
    if (metric.dimensions.shard === undefined && metric.dimensions.kind === undefined)
      assert.ok(seen.has(nameOf(metric)), `${nameOf(metric)} is not shown`);
});

interface Watch {
  AlarmName?: string;
  Namespace: string;
  MetricName: string;
  Dimensions?: { Name: string; Value: string }[];
}
