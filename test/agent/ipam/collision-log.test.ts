/** What an operator reads of addresses that are in use twice (checklist T8): once, with the names. */
import t from 'tap';
import { CollisionLog } from '../../../agent/ipam/collision-log.ts';
import type { AddressCollision } from '../../../agent/ipam/interface.ts';
import { recordingLog } from '../recording-log.ts';

const network = { id: 'b'.repeat(32), name: 'blue' };
const collision = (kind: AddressCollision['kind'], address = '10.42.0.9'): AddressCollision => ({
  address,
  hosts: ['c'],
  owner: 'b',
  kind,
});

void t.test('T8: named with address, hosts and owner; the worse the louder', (test) => {
  const { log, lines } = recordingLog();
  const told = new CollisionLog(log);
  told.tell(network, [collision('foreign'), collision('docker-range'), collision('duplicate')]);
  const fields = { network: 'blue', ip: '10.42.0.9', peers: ['c'], owner: 'b' };
  test.match(lines, [
    { level: 'info', fields, message: /10\.42\.0\.9 is in use outside of its host's range/ },
    { level: 'warn', fields, message: /10\.42\.0\.9 lies in what Docker of another host hands out/ },
    { level: 'warn', fields, message: /duplicate address 10\.42\.0\.9/ },
  ]);
  told.tell(network, [collision('reclaimed')]);
  test.equal(lines.length, 3, 'what was lost is said when it is lost');
  test.end();
});

void t.test('T8: once each; another host, kind or network is another one', (test) => {
  const { log, lines } = recordingLog();
  const told = new CollisionLog(log);
  const one = collision('duplicate');
  for (let i = 0; i < 3; i++) told.tell(network, [one]);
  test.equal(lines.length, 1);
  told.tell(network, [{ ...one, hosts: ['c', 'd'] }]);
  told.tell(network, [collision('foreign')]);
  told.tell({ ...network, id: 'c'.repeat(32) }, [one]);
  test.equal(lines.length, 4);
  test.end();
});

void t.test('the oldest are forgotten, so that memory has an end', (test) => {
  const { log, lines } = recordingLog();
  const told = new CollisionLog(log);
  const all = Array.from({ length: 257 }, (_, i) => collision('duplicate', `10.42.${i >> 8}.${i & 255}`));
  told.tell(network, all);
  told.tell(network, [all[256]!]);
  test.equal(lines.length, 257);
  told.tell(network, [all[0]!]);
  test.equal(lines.length, 258);
  test.end();
});
