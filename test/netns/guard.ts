/**
 * Tests that need root and the kernel's help. Where they cannot run they are skipped with the reason; with
 * OVERLAYD_TEST=required (CI) the same reason is a failure.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import tap from 'tap';
import type { Test } from 'tap';
import { testbedProblem } from '../../agent/demo/testbed.ts';

// Where daemons and tools are, whatever PATH the runner was given.
process.env['PATH'] = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

/** Runs `body` as a subtest when this machine can make a test bed and has the programs it needs. */
export function netnsTest(name: string, programs: readonly string[], body: (t: Test) => Promise<void>): void {
  rootTest(name, testbedProblem()?.message ?? missing(programs), body);
}

/** Runs `body`, or skips (or fails) it with `reason`. */
export function rootTest(name: string, reason: string | undefined, body: (t: Test) => Promise<void>): void {
  if (reason === undefined) void tap.test(name, body);
  else if (process.env['OVERLAYD_TEST'] === 'required') tap.fail(`${name}: cannot run here: ${reason}`);
  else void tap.test(name, { skip: reason }, body);
}

/** The first of the programs that is not on PATH. */
export function missing(programs: readonly string[]): string | undefined {
  const lacking = programs.find((program) => findProgram(program) === undefined);
  return lacking === undefined ? undefined : `the program ${lacking} is not installed`;
}

export function findProgram(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
