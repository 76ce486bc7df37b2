/** koffi, or why it cannot be had: TAPs, sockets and the data path are made with it, whatever --io says. */
import type Koffi from 'koffi';
import { OverlaydError } from '../errors.ts';

async function load(): Promise<typeof Koffi> {
  try {
    return (await import('koffi')).default;
  } catch (cause) {
    throw new OverlaydError('OVL_FFI', `the module koffi cannot be loaded: ${(cause as Error).message}`, {
      hint: `Install overlayd for this machine (${process.arch}, Node ${process.version}): run "npm ci" where it was built, and build again.`,
      cause,
    });
  }
}

export const koffi = await load();
