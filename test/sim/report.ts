import Table from 'cli-table3';
import type { CampaignResult } from './campaign.ts';

/** The result of a campaign as a table for a terminal, and as a picture: one bar for each time that was measured. */
interface Row {
  readonly label: string;
  readonly ms: number;
}

/** Plain text, ending in a newline. */
export function renderTable(result: CampaignResult): string {
  const table = new Table({ style: { head: [], border: [], compact: true } });
  const speed = result.virtualMs / result.wallMs;
  table.push(
    ['scenario', `${result.title}; ${result.nodes} hosts, seed ${result.seed}`],
    [
      'virtual time',
      `${seconds(result.virtualMs)} in ${seconds(result.wallMs)} (${speed.toFixed(1)} × real time)`,
    ],
    [
      'traffic',
      `${result.packets} packets; a host sends ${Math.round(result.bytesPerHostPerSecond)} bytes of UDP a second, ${Math.round(result.streamBytesPerHostPerSecond)} of TCP`,
    ],
    ...rowsOf(result).map(({ label, ms }) => [label, seconds(ms)]),
    ['false positives', `${result.falsePositives} (a living, reachable host declared dead by one other)`],
    ['suspicions refuted', `${result.suspicions} (of living hosts, counted at each that heard)`],
    ['at the end', result.isWholeAtEnd ? 'all agree on all' : 'NOT whole'],
    ['trace', result.traceHash.slice(0, 16)],
  );
  return `${table.toString()}\n`;
}

/** A whole SVG document; reads on light and dark pages. */
export function renderPicture(result: CampaignResult): string {
  const rows = rowsOf(result).filter(({ ms }) => Number.isFinite(ms));
  const longest = Math.max(1, ...rows.map(({ ms }) => ms));
  const height = 60 + rows.length * 22;
  const bars = rows.map(({ label, ms }, i) => {
    const y = 44 + i * 22;
    const width = Math.round((ms / longest) * 380);
    return [
      `<text x="250" y="${y + 11}" text-anchor="end">${escape(label)}</text>`,
      `<rect x="258" y="${y}" width="${width}" height="14" rx="2" fill="#2f81f7"/>`,
      `<text x="${264 + width}" y="${y + 11}">${seconds(ms)}</text>`,
    ].join('\n');
  });
  const title = `${result.title}: ${result.nodes} hosts, seed ${result.seed}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="760" height="${height}" viewBox="0 0 760 ${height}" role="img" aria-label="${escape(title)}">`,
    '<style>svg { color: #24292f; font: 12px system-ui, sans-serif } text { fill: currentColor }',
    '@media (prefers-color-scheme: dark) { svg { color: #d0d7de } }</style>',
    `<text x="12" y="22" font-size="16" font-weight="600">${escape(title)}</text>`,
    ...bars,
    '</svg>',
    '',
  ].join('\n');
}

function rowsOf({ crashes, healMs, visible }: CampaignResult): Row[] {
  const rows: Row[] = crashes.flatMap(({ suspectMs, deadMs, allMs }, i) => [
    { label: `crash ${i + 1}: first suspected`, ms: suspectMs },
    { label: `crash ${i + 1}: first declared dead`, ms: deadMs },
    { label: `crash ${i + 1}: all know`, ms: allMs },
  ]);
  if (visible !== undefined) {
    rows.push({ label: 'endpoint visible: median', ms: visible.p50Ms });
    rows.push({ label: 'endpoint visible: 99 %', ms: visible.p99Ms });
    rows.push({ label: 'endpoint visible: last', ms: visible.maxMs });
  }
  if (healMs !== undefined) rows.push({ label: 'split: whole again', ms: healMs });
  return rows;
}

function seconds(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return Number.isFinite(ms) ? `${(ms / 1000).toFixed(1)} s` : 'not seen';
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
