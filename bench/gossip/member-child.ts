/**
 * A member of ours as a process of its own, with the arguments and the lines of test/interop/go/peer.go as far as the bench
 * needs them: `-name NAME -ip IP`; `join IP:PORT` on standard input; "ready", "done", "join" and "leave" on standard output.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { RealMember } from '../../test/interop/member.ts';

const LAN = { gossipIntervalMs: 200, suspicionMult: 4 } as const;
const LOOK_MS = 5;

const argv = process.argv.slice(2).map((word) => word.replace(/^-(?=\w\w)/, '--'));
const { values } = parseArgs({
  args: argv,
  options: { name: { type: 'string', default: '' }, ip: { type: 'string', default: '' } },
});
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

const member = await RealMember.open(values.name, values.ip, LAN);
say({ type: 'ready' });
setInterval(() => {
  for (const event of member.events.splice(0)) {
    if (event.type === 'join') say({ type: 'join', name: event.member.name });
    if (event.type === 'dead' || event.type === 'left') say({ type: 'leave', name: event.member.name });
  }
}, LOOK_MS);
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const [command, address = ''] = line.split(' ');
  const [ip = '', port] = address.split(':');
  if (command === 'join') member.do((swim, now) => swim.join(now, [{ ip, port: Number(port) }]));
  say({ type: command === 'join' ? 'done' : 'failed', error: `no such command: ${line}` });
});
lines.on('close', () => process.exit(0));
