import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { EndpointFile } from '../../../agent/control/endpoint-file.ts';
import { recordingLog } from '../recording-log.ts';

const ENDPOINTS = [
  { vni: 4096, mac: 0x02420a2a0002, ips: ['10.42.0.2', 'fd42::2'] },
  { vni: 7, mac: 1, ips: [] },
];

void t.test('what one run writes the next one reads; nothing but the file is left', (t) => {
  const dir = t.testdir();
  const { log, lines } = recordingLog();
  t.strictSame(new EndpointFile(dir, log).read(), []);
  new EndpointFile(dir, log).write(ENDPOINTS);
  t.strictSame(new EndpointFile(dir, log).read(), ENDPOINTS);
  t.strictSame(readdirSync(dir), ['endpoints.json']);
  t.equal(statSync(join(dir, 'endpoints.json')).mode & 0o777, 0o600);
  t.strictSame(lines, []);
  t.end();
});

void t.test('a damaged file is a warning and an empty list', (t) => {
  const bad = ['', '{', '[]', '{"version":1,"endpoints":[{"vni":"x"}]}', '{"version":2,"endpoints":[]}'];
  for (const text of bad) {
    const { log, lines } = recordingLog();
    t.strictSame(
      new EndpointFile(t.testdir({ 'endpoints.json': text }), log).read(),
      [],
      JSON.stringify(text),
    );
    t.equal(lines.length, 1);
    t.equal(lines[0]?.level, 'warn');
  }
  t.end();
});

void t.test('nothing is written while nothing changes', (t) => {
  const dir = t.testdir();
  const file = new EndpointFile(dir, recordingLog().log);
  file.write(ENDPOINTS);
  const before = statSync(join(dir, 'endpoints.json')).ino;
  file.write([...ENDPOINTS]);
  t.equal(statSync(join(dir, 'endpoints.json')).ino, before);
  file.write(ENDPOINTS.slice(1));
  t.not(statSync(join(dir, 'endpoints.json')).ino, before, 'renamed over');
  t.end();
});
