/** Makes a test bed with a host and a process in it, prints its id and that process's pid, and waits to be ended. */
import { Testbed } from '../../agent/demo/testbed.ts';

const testbed = new Testbed();
const sleeper = testbed.addHost().spawn(['sleep', '600']);
process.stdout.write(`${JSON.stringify({ id: testbed.id, scratch: testbed.scratch, pid: sleeper.pid })}\n`);
await sleeper.exited;
