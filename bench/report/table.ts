/** The result as a table for a terminal: a row per peer, a column per series, ratio to the reference in brackets. */

import Table from 'cli-table3';
import type { Series } from '../metrics/metric.ts';
import { findFigure } from './result.ts';
import type { BenchResult, Figure } from './result.ts';

/** Plain text without colours, ending in a newline. */
export function renderTable(result: BenchResult): string {
  const columns = result.series.filter((series) =>
    result.figures.some((figure) => figure.series === series.id),
  );
  const head = ['', ...columns.map((series) => `${wrapTitle(series.title)}\n${series.unit}`)];
  const table = new Table({ head, style: { head: [], border: [], compact: true } });
  for (const peer of result.peers) {
    if (peer.unavailable !== undefined) continue;
    table.push([
      peer.title,
      ...columns.map((series) => cell(series, findFigure(result, peer.id, series.id))),
    ]);
  }
  return `${table.toString()}\n${footnotes(result).join('\n')}\n`;
}

function cell(series: Series, figure: Figure | undefined): string {
  if (!figure) return '';
  if (!figure.summary) return 'failed';
  const { median, min, max } = figure.summary;
  const number = (value: number): string => value.toFixed(series.digits);
  const ratio = figure.ratio ? ` (${figure.ratio.median.toFixed(2)}x)` : '';
  return `${number(median)}${ratio}\n${number(min)}–${number(max)}`;
}

function footnotes(result: BenchResult): string[] {
  const { settings, machine } = result;
  const reference = result.peers.find((peer) => peer.id === result.reference)?.title ?? result.reference;
  return [
    `Medians of ${settings['runs']} alternating runs, extremes below; in brackets the ratio to ${reference}.`,
    `Endpoint: ${settings['endpoint']}. CPU: ${settings['cpuAccounting']}. Weighted cgroup: ${settings['cpuWeighted']}. CPUs kept awake: ${settings['cpusAwake']}.`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.virtualization}, Linux ${machine.kernel}, Node ${machine.node}, load at start ${machine.loadAtStart}.`,
    ...result.peers
      .filter((peer) => peer.unavailable !== undefined)
      .map((peer) => `${peer.title}: not measured: ${peer.unavailable}`),
    ...result.failures.map(
      (failure) => `${failure.peer} ${failure.metric}, run ${failure.run + 1}: failed: ${failure.message}`,
    ),
  ];
}

/** Breaks a column title at the comma, so that columns stay narrow. */
function wrapTitle(title: string): string {
  return title.replace(/, | (?=without|under|\()/, '\n');
}
