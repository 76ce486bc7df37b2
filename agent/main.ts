#!/usr/bin/env node
/** The one binary: `overlayd run` is the daemon, every other verb talks to it. */
import { processContext } from './cli/context.ts';
import { runCli } from './cli/program.ts';

// A reader that has seen enough (`overlayd fdb | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

const STRAGGLERS_MS = 1_000;

process.exitCode = await runCli(process.argv.slice(2), processContext());
// Output is flushed by a natural end; a handle that somebody forgot must not keep the process for ever.
setTimeout(() => process.exit(), STRAGGLERS_MS).unref();
