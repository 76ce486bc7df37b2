/**
 * Tables for people, JSON for programs.
 *
 * Names come from other hosts: control characters in them are shown, never sent to the terminal.
 */
import Table from 'cli-table3';
import { styleText } from 'node:util';
import type { CliContext } from './context.ts';
import type { ClientOptions } from './client-command.ts';

export interface Column<T> {
  readonly title: string;
  /** Only with `-o wide`. */
  readonly wide?: true;
  readonly align?: 'right';
  /** Undefined is unknown, and shown as a dash. */
  readonly value: (row: T) => string | number | boolean | undefined;
}

type Colour = 'green' | 'yellow' | 'red' | 'dim';

/** Rows as a table or as the JSON that they are. */
export function printRows<T>(
  context: CliContext,
  options: Pick<ClientOptions, 'output' | 'header'>,
  rows: readonly T[],
  columns: readonly Column<T>[],
): void {
  if (options.output === 'json') printJson(context, rows);
  else context.out(renderTable(rows, columns, options));
}

export function printJson(context: CliContext, value: unknown): void {
  context.out(`${JSON.stringify(value, null, 2)}\n`);
}

/** Borderless, like docker's; with a trailing line break. */
export function renderTable<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  options: Pick<ClientOptions, 'output' | 'header'>,
): string {
  const shown = columns.filter(({ wide }) => wide !== true || options.output === 'wide');
  const table = new Table({
    chars: NO_BORDER,
    style: { 'padding-left': 0, 'padding-right': 3, head: [], border: [] },
    colAligns: shown.map(({ align }) => align ?? 'left'),
    ...(options.header && { head: shown.map(({ title }) => title) }),
  });
  for (const row of rows) table.push(shown.map(({ value }) => cell(value(row))));
  const lines = table.toString().split('\n');
  const text = lines.map((line) => line.trimEnd()).filter((line) => line !== '');
  return text.length === 0 ? '' : `${text.join('\n')}\n`;
}

/** Makes foreign text fit to be shown. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\uFFFD');
}

export function colourer(context: CliContext): (colour: Colour, text: string) => string {
  return (colour, text) => (context.colour ? styleText(colour, text) : text);
}

/** The colour that a member state has everywhere. */
export const STATE_COLOUR = { alive: 'green', suspect: 'yellow', dead: 'red', left: 'dim' } as const;

/** 93784 → `1d 2h`, 75 → `1m 15s`: the two largest units. */
export function humanDuration(seconds: number): string {
  const units: [string, number][] = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
  ];
  let rest = Math.floor(seconds);
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 || (parts.length === 0 && unit === 's')) parts.push(`${count}${unit}`);
  }
  return parts.slice(0, 2).join(' ');
}

function cell(value: string | number | boolean | undefined): string {
  if (value === undefined || value === '') return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'number' ? String(value) : value;
}

const BORDER_PARTS =
  'top top-mid top-left top-right bottom bottom-mid bottom-left bottom-right left left-mid mid mid-mid right right-mid middle';
const NO_BORDER = Object.fromEntries(BORDER_PARTS.split(' ').map((name) => [name, '']));
