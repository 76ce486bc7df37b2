/** The gossip bench as a table for a terminal and as a picture of what has a target. Pure. */
import Table from 'cli-table3';
import type { Figure } from './figure.ts';

export interface GossipResult {
  readonly schema: 1;
  readonly date: string;
  readonly seed: number;
  readonly settings: Readonly<Record<string, string | number>>;
  /** By part, in the order of the bench. */
  readonly parts: Readonly<Record<string, readonly Figure[]>>;
}

const figuresOf = ({ parts }: GossipResult): readonly Figure[] => Object.values(parts).flat();

/** Plain text without colours, ending in a newline. */
export function renderGossipTable(result: GossipResult): string {
  const table = new Table({
    head: ['', 'measured', 'at most', ''],
    colAligns: ['left', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const { title, value, unit, target } of figuresOf(result)) {
    const verdict = target === undefined ? '' : isMet(value, target) ? 'met' : 'MISSED';
    table.push([title, amount(value, unit), target === undefined ? '' : amount(target, unit), verdict]);
  }
  return `${table.toString()}\n`;
}

const isMet = (value: number, target: number): boolean => value <= target;

/** "1.68 kB", "324 ms". */
function amount(value: number, unit: string): string {
  if (!Number.isFinite(value)) return 'never';
  const isBytes = unit.startsWith('B');
  const scale = isBytes && value >= 1e6 ? 1e6 : isBytes && value >= 1e3 ? 1e3 : 1;
  const prefix = scale === 1e6 ? 'M' : scale === 1e3 ? 'k' : '';
  const scaled = value / scale;
  return `${scaled.toFixed(scaled >= 100 || Number.isInteger(scaled) ? 0 : scaled >= 10 ? 1 : 2)} ${prefix}${unit}`;
}

const WIDTH = 860;
const LABEL_WIDTH = 330;
const BAR_WIDTH = 380;
const ROW_HEIGHT = 20;
const BAR_HEIGHT = 13;
const TOP = 44;
/** The target's line stands here; bars end at the right edge. */
const MAX_RATIO = 1.25;

const STYLE = `
  svg { color: #24292f; font: 12px system-ui, sans-serif }
  @media (prefers-color-scheme: dark) { svg { color: #d0d7de } }
  text { fill: currentColor } .title { font-size: 16px; font-weight: 600 }
  .met { fill: #57a773 } .missed { fill: #d1603d }
  .line { stroke: currentColor; stroke-opacity: .45; stroke-dasharray: 3 3 }`;

/** A whole SVG document: a bar each for what was measured, as a share of its target. */
export function renderGossipPicture(result: GossipResult): string {
  const rows = figuresOf(result).filter(({ target }) => target !== undefined);
  const height = TOP + rows.length * ROW_HEIGHT + 12;
  const line = LABEL_WIDTH + BAR_WIDTH / MAX_RATIO;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Gossip bench: measured as a share of the target">`,
    `<style>${STYLE}\n</style>`,
    `<text class="title" x="12" y="22">Gossip in simulation, as a share of the target (shorter is better)</text>`,
    `<line class="line" x1="${line}" x2="${line}" y1="${TOP - 6}" y2="${height - 8}"/>`,
    ...rows.map((figure, i) => row(figure, TOP + i * ROW_HEIGHT)),
    '</svg>',
    '',
  ].join('\n');
}

function row({ title, value, unit, target = 1 }: Figure, top: number): string {
  const ratio = Number.isFinite(value) ? value / target : MAX_RATIO;
  const width = Math.round((Math.min(ratio, MAX_RATIO) / MAX_RATIO) * BAR_WIDTH * 10) / 10;
  const y = top + ROW_HEIGHT / 2 + 4;
  return [
    `<text x="${LABEL_WIDTH - 8}" y="${y}" text-anchor="end">${escape(title)}</text>`,
    `<rect class="${isMet(value, target) ? 'met' : 'missed'}" x="${LABEL_WIDTH}" y="${top + (ROW_HEIGHT - BAR_HEIGHT) / 2}" width="${width}" height="${BAR_HEIGHT}" rx="2"/>`,
    `<text x="${LABEL_WIDTH + BAR_WIDTH + 10}" y="${y}">${escape(amount(value, unit))}</text>`,
  ].join('\n');
}

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
