/**
 * The result as a picture: for each series bars of the ratio to the reference, whiskers over the runs, the figure beside.
 *
 * SVG by hand: a few rectangles need no library. Colours are middle tones on a transparent ground with text in
 * currentColor and a media query, so it reads on light and dark pages alike.
 */

import type { Series } from '../metrics/metric.ts';
import { findFigure } from './result.ts';
import type { BenchResult, PeerNote } from './result.ts';

const WIDTH = 860;
const LABEL_WIDTH = 190;
const BAR_WIDTH = 440;
const ROW_HEIGHT = 20;
const BAR_HEIGHT = 13;
const GROUP_GAP = 34;
const TOP = 54;
/** Ratios beyond these are cut, with a mark: one slow peer must not flatten all other bars. */
const MAX_RATIO = { higherIsBetter: 3, lowerIsBetter: 12 } as const;

const STYLE = `
  svg { color: #24292f; font: 12px system-ui, sans-serif }
  @media (prefers-color-scheme: dark) { svg { color: #d0d7de } }
  text { fill: currentColor } .title { font-size: 16px; font-weight: 600 } .group { font-weight: 600 }
  .note { font-size: 11px; opacity: .75 } .other { fill: #8c959f } .own { fill: #2f81f7 }
  .reference { fill: #57a773 } .line { stroke: currentColor; stroke-opacity: .45; stroke-dasharray: 3 3 }
  .whisker { stroke: currentColor; stroke-width: 1.2 }`;

/** A whole SVG document. */
export function renderPicture(result: BenchResult): string {
  const parts: string[] = [];
  let y = TOP;
  for (const series of result.series) {
    const rows = result.peers.filter((peer) => findFigure(result, peer.id, series.id)?.ratio);
    if (rows.length === 0) continue;
    parts.push(group(result, series, rows, y));
    y += rows.length * ROW_HEIGHT + GROUP_GAP;
  }
  const { machine, settings } = result;
  const note = `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; medians of ${settings['runs']} alternating runs, whiskers: extremes; endpoint: ${settings['endpoint']}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y + 10}" viewBox="0 0 ${WIDTH} ${y + 10}" role="img" aria-label="Bench results as ratios to the reference">`,
    `<style>${STYLE}\n</style>`,
    `<text class="title" x="12" y="22">Ratio to ${escape(titleOf(result, result.reference))}</text>`,
    ...parts,
    `<text class="note" x="12" y="${y}">${escape(note)}</text>`,
    '</svg>',
    '',
  ].join('\n');
}

function group(result: BenchResult, series: Series, rows: readonly PeerNote[], top: number): string {
  const better = series.isHigherBetter ? 'longer is better' : 'shorter is better';
  const one = round(LABEL_WIDTH + scale(series, 1));
  const bottom = top + rows.length * ROW_HEIGHT;
  return [
    `<text class="group" x="12" y="${top - 6}">${escape(series.title)} <tspan class="note">(${escape(series.unit)}, ${better})</tspan></text>`,
    `<line class="line" x1="${one}" x2="${one}" y1="${top}" y2="${bottom}"/>`,
    ...rows.map((peer, index) => row(result, series, peer, top + index * ROW_HEIGHT)),
  ].join('\n');
}

/** Pixels of a ratio. One scale for all groups of a direction, so that the reference is one line down the picture. */
function scale(series: Series, ratio: number): number {
  return Math.min(ratio / maxRatio(series), 1) * BAR_WIDTH;
}

function maxRatio(series: Series): number {
  return series.isHigherBetter ? MAX_RATIO.higherIsBetter : MAX_RATIO.lowerIsBetter;
}

function row(result: BenchResult, series: Series, peer: PeerNote, top: number): string {
  const figure = findFigure(result, peer.id, series.id);
  if (!figure?.ratio || !figure.summary) return '';
  const { ratio, summary } = figure;
  const middle = top + ROW_HEIGHT / 2;
  const from = round(LABEL_WIDTH + scale(series, Math.min(ratio.min, ratio.median)));
  const to = round(LABEL_WIDTH + scale(series, Math.max(ratio.max, ratio.median)));
  const isCut = ratio.median > maxRatio(series);
  const label = `${ratio.median.toFixed(2)}×${isCut ? ' (bar cut)' : ''}  ${summary.median.toFixed(series.digits)} ${series.unit}`;
  return [
    `<text x="${LABEL_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${escape(peer.title)}</text>`,
    `<rect class="${barClass(result, peer.id)}" x="${LABEL_WIDTH}" y="${middle - BAR_HEIGHT / 2}" width="${round(scale(series, ratio.median))}" height="${BAR_HEIGHT}" rx="2"/>`,
    `<line class="whisker" x1="${from}" x2="${to}" y1="${middle}" y2="${middle}"/>`,
    `<text x="${LABEL_WIDTH + BAR_WIDTH + 10}" y="${middle + 4}">${escape(label)}</text>`,
  ].join('\n');
}

function barClass(result: BenchResult, peer: string): string {
  if (peer === result.reference) return 'reference';
  return peer.startsWith('overlayd') ? 'own' : 'other';
}

function titleOf(result: BenchResult, id: string): string {
  return result.peers.find((peer) => peer.id === id)?.title ?? id;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
