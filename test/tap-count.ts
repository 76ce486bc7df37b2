/**
 * Counts the test points of a raw TAP 14 stream as tap writes it.
 *
 * Counted are leaves: assertions, and subtests that hold none. A parent is not counted again, unless it failed although
 * nothing in it did (time-out, wrong plan, non-zero exit of its file). TODO counts as skipped: it asserts nothing.
 */

export interface TapCount {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Failed points with the names of their parents, in order, each with its diagnostic block. */
  readonly failures: readonly string[];
  /** Skipped points with their reasons. */
  readonly skips: readonly string[];
  /** The top-level plan was there and as many points came; false after a crash of tap. */
  readonly complete: boolean;
}

const TEST_POINT = /^( *)(not )?ok\b(?: \d+)?(?: - )?(.*)$/;
const DIRECTIVE = / # (SKIP|TODO)\b ?(.*)$/i;
const PLAN = /^1\.\.(\d+)/;
const INDENT = 4;

export function countTap(text: string): TapCount {
  const lines = text.split('\n');
  const failures: string[] = [];
  const skips: string[] = [];
  /** Per depth: names of the open subtests, and how many points and failures were seen below it. */
  const names: string[] = [];
  const points: number[] = [];
  const failed: number[] = [];
  let passed = 0;
  let plan: number | undefined;
  let top = 0;

  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const block = diagnosticIndent(line);
    if (block !== undefined) {
      at = endOfDiagnostic(lines, at, block);
      continue;
    }
    const subtest = /^( *)# Subtest: (.*)$/.exec(line);
    if (subtest !== null) {
      names[depthOf(subtest[1])] = subtest[2] ?? '';
      continue;
    }
    const planned = PLAN.exec(line);
    if (planned !== null) plan = Number(planned[1]);
    const point = TEST_POINT.exec(line);
    if (point === null) continue;

    const depth = depthOf(point[1]);
    const directive = DIRECTIVE.exec(point[3] ?? '');
    const isBad = point[2] !== undefined && directive === null;
    const below = points[depth + 1] ?? 0;
    const badBelow = failed[depth + 1] ?? 0;
    points.length = depth + 1;
    failed.length = depth + 1;
    points[depth] = (points[depth] ?? 0) + 1;
    failed[depth] = (failed[depth] ?? 0) + (isBad || badBelow > 0 ? 1 : 0);
    if (depth === 0) top++;

    const title = [...names.slice(0, depth), (point[3] ?? '').replace(/ # time=.*$/, '')].join(' > ');
    if (isBad) {
      if (badBelow === 0) failures.push([title, ...diagnosticOf(lines, at)].join('\n'));
    } else if (directive !== null) {
      skips.push(title);
    } else if (below === 0) {
      passed++;
    }
  }
  return {
    passed,
    failed: failures.length,
    skipped: skips.length,
    failures,
    skips,
    complete: plan !== undefined && top > 0 && plan === top,
  };
}

function depthOf(indent: string | undefined): number {
  return Math.floor((indent ?? '').length / INDENT);
}

/** Indentation of a line that opens a YAML diagnostic; undefined for any other line. */
function diagnosticIndent(line: string): number | undefined {
  const opening = /^( *)---$/.exec(line);
  return opening === null ? undefined : (opening[1] ?? '').length;
}

function endOfDiagnostic(lines: readonly string[], from: number, indent: number): number {
  const closing = `${' '.repeat(indent)}...`;
  const end = lines.indexOf(closing, from);
  return end === -1 ? lines.length : end;
}

function diagnosticOf(lines: readonly string[], point: number): string[] {
  const indent = diagnosticIndent(lines[point + 1] ?? '');
  if (indent === undefined) return [];
  return lines
    .slice(point + 2, endOfDiagnostic(lines, point + 1, indent))
    .map((line) => `    ${line.trimStart()}`);
}
