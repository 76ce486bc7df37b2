import t from 'tap';
import { SERIES } from '../../bench/metrics/metric.ts';
import { renderPicture } from '../../bench/report/picture.ts';
import { Samples, figuresOf, findFigure } from '../../bench/report/result.ts';
import type { BenchResult } from '../../bench/report/result.ts';
import { renderTable } from '../../bench/report/table.ts';

function sampleResult(): BenchResult {
  const samples = new Samples(3);
  [20, 22, 24].forEach((tcp1, run) => samples.add('kernel-vxlan', run, { tcp1, 'rtt-p50': 20 }));
  [11, 12, 13].forEach((tcp1, run) =>
    samples.add('overlayd-batch', run, { tcp1, 'rtt-p50': 50, rss: 90 + run }),
  );
  samples.add('slow', 1, { tcp1: 0.2, 'rtt-p50': 900 });
  const peers = ['kernel-vxlan', 'overlayd-batch', 'slow'];
  return {
    schema: 1,
    date: '2026-11-22T00:00:00.000Z',
    settings: { runs: 3, seconds: 1, endpoint: 'address on the device' },
    machine: {
      cpu: 'Test <CPU> & "Co"',
      cores: 2,
      memoryMib: 1024,
      kernel: '6.1',
      virtualization: 'none',
      node: 'v20',
      iperf3: '3.12',
      loadAtStart: 0,
    },
    reference: 'kernel-vxlan',
    series: SERIES,
    peers: [
      { id: 'kernel-vxlan', title: 'kernel VXLAN', version: '6.1' },
      { id: 'overlayd-batch', title: 'overlayd --io batch', version: '0.1.0' },
      { id: 'slow', title: 'slow & <old>', version: '1' },
      { id: 'gone', title: 'gone', unavailable: 'not installed' },
    ],
    figures: figuresOf(samples, peers, SERIES, 'kernel-vxlan'),
    failures: [{ peer: 'slow', metric: 'tcp1', run: 0, message: 'timed out' }],
  };
}

void t.test('figures keep the raw runs beside what is computed from them', async (test) => {
  const result = sampleResult();
  test.same(findFigure(result, 'overlayd-batch', 'tcp1'), {
    peer: 'overlayd-batch',
    series: 'tcp1',
    raw: [11, 12, 13],
    summary: { median: 12, min: 11, max: 13 },
    ratio: { median: 12 / 22, min: 13 / 24, max: 11 / 20 },
  });
  test.same(findFigure(result, 'slow', 'tcp1')?.raw, [null, 0.2, null], 'failed runs are null');
  test.same(findFigure(result, 'kernel-vxlan', 'tcp1')?.ratio?.median, 1);
});

void t.test('a series only daemons have gets no ratio', async (test) => {
  const figure = findFigure(sampleResult(), 'overlayd-batch', 'rss');
  test.same(figure?.summary, { median: 91, min: 90, max: 92 });
  test.equal(figure?.ratio, undefined);
});

void t.test('the table has a row per measured peer, and tells what is missing', async (test) => {
  const table = renderTable(sampleResult());
  test.match(table, /kernel VXLAN +│ 22\.00 \(1\.00x\)/);
  test.match(table, /overlayd --io batch +│ 12\.00 \(0\.55x\)/);
  test.match(table, /11\.00–13\.00/, 'extremes');
  test.match(table, 'gone: not measured: not installed');
  test.match(table, 'slow tcp1, run 1: failed: timed out');
  test.notMatch(table, /idle CPU/, 'no column without figures');
  test.notMatch(table, new RegExp(String.fromCharCode(27)), 'no colours');
});

void t.test('a peer whose every run failed is told so', async (test) => {
  const result = sampleResult();
  const figures = [...result.figures, { peer: 'slow', series: 'pps' as const, raw: [null, null, null] }];
  test.match(renderTable({ ...result, figures }), /failed/);
});

void t.test('the picture is well-formed, escaped, and drawn to scale', async (test) => {
  const picture = renderPicture(sampleResult());
  test.match(picture, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /);
  test.match(picture, 'Test &lt;CPU&gt; &amp; &quot;Co&quot;');
  test.match(picture, 'slow &amp; &lt;old&gt;');
  test.same(openTags(picture), [], 'every element is closed');
  const widths = barWidths(picture, 0);
  test.equal(widths.length, 3);
  test.ok(Math.abs(widths[1]! / widths[0]! - 12 / 22) < 0.01, widths.join(' '));
});

void t.test('a bar beyond the scale is cut and says so', async (test) => {
  const picture = renderPicture(sampleResult());
  const widths = barWidths(picture, 3);
  test.ok(widths[2]! > widths[1]! && widths[2]! <= 440, 'the longest is the full width at most');
  test.match(picture, '45.00× (bar cut)');
});

void t.test('a result without any ratio is still a picture', async (test) => {
  test.match(renderPicture({ ...sampleResult(), figures: [], peers: [] }), /<\/svg>\n$/);
});

/** Widths of three bars from the given one on. */
function barWidths(svg: string, from: number): number[] {
  return [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)]
    .slice(from, from + 3)
    .map((match) => Number(match[1]));
}

/** Names of elements left open, by a stack over all tags. */
function openTags(svg: string): string[] {
  const open: string[] = [];
  for (const [, slash, name, self] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
    if (self) continue;
    if (!slash) open.push(name!);
    else if (open.pop() !== name) open.push(`mismatched ${name}`);
  }
  return open;
}
