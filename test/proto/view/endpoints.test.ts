import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import { decodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { macKeyHex } from '../../../proto/state/values/mac.ts';
import { EndpointAnnouncer } from '../../../proto/view/endpoints.ts';
import { Cluster } from '../state/cluster.ts';

const VNI = 4096;
const MAC = 0x02_00_00_00_00_01;

/** Hosts with announcers, and their changes handed on as the agent does. */
class Hosts {
  readonly cluster = new Cluster(3);
  readonly announcers = new Map<string, EndpointAnnouncer>();

  constructor(...names: string[]) {
    for (const name of names) {
      const state = this.cluster.start(name, [VNI]);
      this.announcers.set(name, new EndpointAnnouncer({ self: name }, state));
    }
    this.cluster.meet();
    this.run(2_000);
  }

  run(ms: number): void {
    for (let left = ms; left > 0; left -= 10) {
      this.cluster.run(10);
      for (const [name, announcer] of this.announcers) {
        const state = this.cluster.state(name);
        for (let c = state.pollChange(); c !== undefined; c = state.pollChange()) {
          announcer.handleChange(this.cluster.now, c);
        }
        if (announcer.nextDeadline() <= this.cluster.now) announcer.handleDeadline(this.cluster.now);
      }
    }
  }

  learn(name: string, mac = MAC): void {
    this.announcers.get(name)!.handleMacLearned(this.cluster.now, VNI, mac);
  }

  ip(name: string, ip: string, mac = MAC): void {
    this.announcers.get(name)!.handleIpLearned(this.cluster.now, VNI, mac, ip);
  }

  /** Claims as `at` sees them: "owner/mobility ip ip". */
  seen(at: string, mac = MAC): string[] {
    return this.cluster
      .state(at)
      .claims(VNI, TABLE.endpoint, macKeyHex(mac))
      .map(({ owner, value }) => {
        const { mobility, ips } = decodeEndpoint(value);
        return [`${owner}/${mobility}`, ...ips].join(' ');
      });
  }
}

void t.test('what is learnt is announced, what expires is taken back', async (test) => {
  const hosts = new Hosts('a', 'b');
  hosts.learn('a');
  hosts.ip('a', '10.42.0.2');
  hosts.ip('a', 'FD00:0::2');
  hosts.ip('a', 'nonsense');
  hosts.run(100);
  test.same(hosts.seen('b'), ['a/0 10.42.0.2 fd00::2']);
  test.equal(hosts.announcers.get('a')!.counters().get('bad-ip'), 1);
  hosts.announcers.get('a')!.handleMacExpired(hosts.cluster.now, VNI, MAC);
  hosts.run(100);
  test.same(hosts.seen('b'), []);
});

void t.test('a MAC that moves is followed within a second, and the loser withdraws', async (test) => {
  const hosts = new Hosts('a', 'b', 'c');
  hosts.learn('a');
  hosts.ip('a', '10.42.0.2');
  hosts.run(100);
  hosts.learn('b');
  hosts.run(100);
  test.same(hosts.seen('c'), ['b/1 10.42.0.2'], 'with its address, which has not spoken yet');
  hosts.learn('a');
  hosts.run(100);
  test.same(hosts.seen('c'), ['a/2 10.42.0.2'], 'and back');
});

void t.test('two that announce at once agree on one', async (test) => {
  const hosts = new Hosts('a', 'b', 'c');
  hosts.learn('a');
  hosts.learn('b');
  hosts.run(1_000);
  test.equal(hosts.seen('c').length, 1);
  test.same(hosts.seen('a'), hosts.seen('c'));
});

void t.test('an address belongs to the local MAC that used it last', async (test) => {
  const hosts = new Hosts('a', 'b');
  hosts.learn('a');
  hosts.learn('a', MAC + 1);
  hosts.ip('a', '10.42.0.2');
  hosts.ip('a', '10.42.0.2', MAC + 1);
  hosts.run(100);
  test.same(hosts.seen('b'), ['a/0']);
  test.same(hosts.seen('b', MAC + 1), ['a/0 10.42.0.2']);
  for (let i = 0; i < 40; i++) hosts.ip('a', `10.42.1.${i}`);
  hosts.run(100);
  test.equal(hosts.seen('b')[0]!.split(' ').length, 17, 'sixteen addresses, the newest');
  test.match(hosts.seen('b')[0], / 10\.42\.1\.39$/);
});

void t.test('two machines with one MAC do not drive the sequence up for ever', async (test) => {
  const hosts = new Hosts('a', 'b');
  for (let i = 0; i < 40; i++) {
    hosts.learn(i % 2 === 0 ? 'a' : 'b');
    hosts.run(50);
  }
  const [claim] = hosts.seen('a');
  test.ok(Number(claim!.split('/')[1]) <= 14, claim!);
  const frozen = (name: string): number => hosts.announcers.get(name)!.counters().get('endpoint-frozen') ?? 0;
  test.ok(frozen('a') + frozen('b') > 0);
});

void t.test(
  'restored endpoints are said again; those that stay silent go after the ageing time',
  async (test) => {
    const hosts = new Hosts('a', 'b');
    const a = hosts.announcers.get('a')!;
    hosts.learn('b', MAC + 2);
    hosts.run(100);
    a.restore(hosts.cluster.now, [
      { vni: VNI, mac: MAC, ips: ['10.42.0.2'] },
      { vni: VNI, mac: MAC + 1, ips: [] },
      { vni: VNI, mac: MAC + 2, ips: [] },
    ]);
    hosts.run(100);
    test.same(hosts.seen('b'), ['a/0 10.42.0.2']);
    test.same(hosts.seen('b', MAC + 2), ['b/0'], 'somebody else has it by now');
    hosts.learn('a', MAC + 1);
    hosts.run(300_000);
    test.same(hosts.seen('b'), []);
    test.same(hosts.seen('b', MAC + 1), ['a/0']);
    test.same([...a.announced()], [{ vni: VNI, mac: MAC + 1, ips: [] }]);
    test.equal(a.nextDeadline(), Infinity);
  },
);

void t.test('over the limits it counts and goes on', async (test) => {
  const cluster = new Cluster(1, { recordsPerLog: 2 });
  const a = new EndpointAnnouncer({ self: 'a' }, cluster.start('a', [VNI]));
  for (let i = 0; i < 5; i++) a.handleMacLearned(cluster.now, VNI, MAC + i);
  test.equal(a.counters().get('endpoint-refused'), 3);
  a.removeNetwork(cluster.now, VNI);
  test.same([...a.announced()], []);
});

void t.test(
  '5.1 an endpoint is announced by a word, before it says anything, and until that is taken back',
  async (test) => {
    const hosts = new Hosts('a', 'b');
    const announcer = hosts.announcers.get('a')!;
    const now = (): number => hosts.cluster.now;
    announcer.say(now(), VNI, MAC, { ips: ['10.43.0.2', 'nonsense', 'fd43:0::2'], name: 'web' });
    hosts.run(200);
    test.same(hosts.seen('b'), ['a/0 10.43.0.2 fd43::2']);
    test.equal(announcer.counters().get('bad-ip'), 1);
    test.same([...announcer.locals(VNI)], [{ mac: MAC, ips: ['10.43.0.2', 'fd43::2'], name: 'web' }]);
    test.equal(announcer.count(VNI), 1);
    test.equal(announcer.count(VNI, MAC), 0);
    hosts.learn('a');
    announcer.handleMacExpired(now(), VNI, MAC);
    hosts.run(400_000);
    test.same(hosts.seen('b'), ['a/0 10.43.0.2 fd43::2'], 'silence does not end it');
    announcer.takeBack(now(), VNI, MAC);
    hosts.run(200);
    test.same(hosts.seen('b'), []);
  },
);

void t.test('5.1 what is still seen goes on without its name', async (test) => {
  const hosts = new Hosts('a', 'b');
  const announcer = hosts.announcers.get('a')!;
  hosts.learn('a');
  announcer.say(hosts.cluster.now, VNI, MAC, { ips: ['10.43.0.2'], name: 'x'.repeat(100) });
  test.equal([...announcer.locals(VNI)][0]?.name.length, 64, 'as long as a record holds');
  announcer.takeBack(hosts.cluster.now, VNI, MAC);
  hosts.run(200);
  test.same(hosts.seen('b'), ['a/0 10.43.0.2']);
  test.equal([...announcer.locals(VNI)][0]?.name, '');
});

void t.test(
  '5.1 an endpoint that moves hosts is claimed above, and comes back when the other is gone',
  async (test) => {
    const hosts = new Hosts('a', 'b');
    const [a, b] = ['a', 'b'].map((name) => hosts.announcers.get(name)!) as [
      EndpointAnnouncer,
      EndpointAnnouncer,
    ];
    a.say(hosts.cluster.now, VNI, MAC, { ips: ['10.43.0.2'], name: '' });
    hosts.run(200);
    b.say(hosts.cluster.now, VNI, MAC, { ips: ['10.43.0.3'], name: '' });
    hosts.run(500);
    test.same(hosts.seen('a'), ['b/1 10.43.0.3'], 'the later host has it, the earlier is silent');
    b.takeBack(hosts.cluster.now, VNI, MAC);
    hosts.run(500);
    test.same(hosts.seen('b'), ['a/0 10.43.0.2'], 'it was there all the time');
    a.removeNetwork(hosts.cluster.now, VNI);
    hosts.run(500);
    test.same(hosts.seen('b'), [], 'and goes with the network');
  },
);
