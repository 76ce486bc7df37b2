/** Addresses handed out on a host, and what is left of them after a restart (issue 5.2; checklist 3.15). */
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Refusal } from '../../../proto/ipam/ask.ts';
import { parseAddress } from '../../../proto/ipam/block.ts';
import type { HandOut } from '../../../agent/ipam/hand-out.ts';
import { BLUE, PoolHosts, twoHosts } from './pool-hosts.ts';

const ipv4 = { family: 4 } as const;

void t.test('3.15: after a restart what is held stays held, and the rest is free again', async (test) => {
  const { cluster, a } = await twoHosts(test.testdir());
  const given = [
    await a.handOut.request('blue', ipv4),
    await a.handOut.request('blue', ipv4),
    await a.handOut.request('blue', ipv4),
  ];
  test.strictSame(given, ['10.42.0.2/24', '10.42.0.3/24', '10.42.0.4/24']);
  cluster.stop('a');
  const next = cluster.start('a');
  const used = (): string[] => [...next.pool.pool.space.used].map((address) => next.pool.text(address));
  test.strictSame(used(), ['10.42.0.2', '10.42.0.3', '10.42.0.4'], 'as the file has it');
  next.handOut.restore([
    { network: 'blue', ip: '10.42.0.3' },
    { network: 'blue', ip: '10.42.0.77' },
    { network: 'red', ip: '10.42.0.5' },
    { network: 'blue', ip: 'nonsense' },
    { network: 'blue', ip: 'fd00::5' },
  ]);
  test.strictSame(used(), ['10.42.0.3', '10.42.0.77'], 'by whom they are held');
  cluster.run(1_000);
  cluster.stop('a');
  const third = cluster.start('a').pool;
  test.strictSame(
    [...third.pool.space.used].map((address) => third.text(address)),
    ['10.42.0.3', '10.42.0.77'],
    'also on the disk',
  );
});

void t.test('3.33: what another host took over meanwhile is not ours again by a restart', async (test) => {
  const { b, atB } = await twoHosts(test.testdir());
  const [ip = ''] = atB.split('/');
  b.pool.reclaimed.add(parseAddress(ip, 4)!);
  b.handOut.restore([{ network: 'blue', ip }]);
  test.strictSame([...b.pool.pool.space.used], []);
});

void t.test('T8: an address that is in use elsewhere is refused, with the host that has it', async (test) => {
  const { cluster, a, atB } = await twoHosts(test.testdir());
  const [ip = ''] = atB.split('/');
  const asked = test.rejects(a.handOut.request('blue', { family: 4, address: ip }), {
    code: 'OVL_ADDRESS_TAKEN',
    message: `${ip} of "blue" is taken: it is in use on b`,
    hint: /Choose another address/,
  });
  cluster.run(3_000);
  await asked;
  cluster.endpoint('c', 1, '10.42.0.201');
  await test.rejects(a.handOut.request('blue', { family: 4, address: '10.42.0.201' }), {
    message: /in use on c$/,
  });
});

void t.test(
  'T8: an address of one’s own range that another host is seen to use is refused too',
  async (test) => {
    const { cluster, a } = await twoHosts(test.testdir());
    const address = '10.42.0.9';
    const ask = (purpose: 'endpoint' | 'reserved' | 'restored' = 'endpoint'): Promise<string> =>
      a.handOut.request('blue', { family: 4, address, purpose });
    cluster.endpoint('c', 1, address);
    await test.rejects(ask(), {
      code: 'OVL_ADDRESS_TAKEN',
      message: `${address} of "blue" is taken: it is in use on c`,
      hint: /first stop on c what has it/,
    });
    await test.rejects(a.handOut.request('blue', { family: 4, address }), { message: /in use on c$/ });
    test.strictSame([...a.pool.pool.space.used], [], 'nothing is left of it');
    for (const purpose of ['reserved', 'restored'] as const) {
      test.equal(await ask(purpose), `${address}/24`, purpose);
      a.handOut.release('blue', address);
    }
    cluster.endpoints = [{ owner: 'c', mac: 1, ips: [address], held: true }];
    test.equal(await ask(), `${address}/24`, 'the host that had it is dead');
    a.handOut.release('blue', address);
    cluster.endpoints = [{ owner: 'a', mac: 1, ips: [address] }];
    test.equal(await ask(), `${address}/24`, 'a container that is started again here');
  },
);

void t.test('a certain address of another host’s range comes over', async (test) => {
  const { cluster, a } = await twoHosts(test.testdir());
  const asked = a.handOut.request('blue', { family: 4, address: '10.42.0.222' });
  cluster.run(5_000);
  test.equal(await asked, '10.42.0.222/24');
  await test.rejects(a.handOut.request('blue', { family: 4, address: '10.42.0.222/24' }), {
    message: /in use on this host/,
  });
});

void t.test('ranges in too many pieces have a cure of their own', async (test) => {
  const { cluster, b } = await twoHosts(test.testdir());
  const refused = (reason: Refusal, address?: bigint): string | undefined => {
    Object.defineProperty(b.pool.pool, 'refusals', { configurable: true, value: new Map([['a', reason]]) });
    return b.pool.nothing(cluster.now, 'address', address).hint;
  };
  const address = parseAddress('10.42.0.9', 4)!;
  for (const reason of ['record-full', 'asker-full'] as const) {
    test.match(refused(reason, address), /out of the ranges of this host/);
    test.match(refused(reason), /larger subnet/);
  }
  test.match(refused('guardian-away', address), /try again when/);
});

void t.test('what is no address, or none for an endpoint, is refused with the cure', async (test) => {
  const { handOut } = (await twoHosts(test.testdir())).a;
  const refused = (address: string, message: RegExp): Promise<unknown> =>
    test.rejects(handOut.request('blue', { family: 4, address }), { code: 'OVL_ADDRESS_INVALID', message });
  await refused('10.42.0.1', /gateway address/);
  await refused('10.42.0.0', /network, broadcast/);
  await refused('10.43.0.9', /does not lie in 10\.42\.0\.0\/24/);
  await refused('ten', /"ten" is no IPv4 address/);
  await test.rejects(handOut.request('blue', { family: 6 }), { code: 'OVL_NETWORK_WITHOUT_SUBNET' });
  await test.rejects(handOut.request('red', ipv4), { code: 'OVL_NETWORK_NOT_FOUND', exitCode: 5 });
});

void t.test('the gateway is the same everywhere, and costs no address', async (test) => {
  const { a, b } = await twoHosts(test.testdir());
  for (const { handOut } of [a, b]) {
    const gateway = { family: 4, purpose: 'gateway' } as const;
    test.equal(await handOut.request('blue', gateway), '10.42.0.1/24');
    test.equal(await handOut.request('blue', { ...gateway, address: '10.42.0.1' }), '10.42.0.1/24');
    await test.rejects(handOut.request('blue', { ...gateway, address: '10.42.0.254' }), {
      code: 'OVL_GATEWAY_DIFFERS',
      hint: /Use 10\.42\.0\.1/,
    });
  }
});

void t.test('3.15: nobody has an address that could not be kept', async (test) => {
  const folder = test.testdir();
  const { a } = await twoHosts(folder);
  const ranges = join(folder, 'a', 'ranges');
  // A file where the folder was: root is refused as well.
  chmodSync(ranges, 0o700);
  rmSync(ranges, { recursive: true });
  writeFileSync(ranges, '');
  await test.rejects(a.handOut.request('blue', ipv4), { code: 'OVL_STATE_DIR' });
  test.equal(a.pool.pool.space.used.size, 0, 'it was taken back');
  rmSync(ranges);
  test.equal(await a.handOut.request('blue', ipv4), '10.42.0.3/24');
});

void t.test('what is released is free again', async (test) => {
  const { a } = await twoHosts(test.testdir());
  const address = await a.handOut.request('blue', ipv4);
  a.handOut.release('blue', address);
  test.equal(a.pool.pool.space.used.size, 0);
  for (const [network, ip] of [
    ['red', address],
    ['blue', 'nonsense'],
    ['blue', 'fd00::1'],
  ] as const)
    test.doesNotThrow(() => a.handOut.release(network, ip), `${network} ${ip} is nothing to release`);
});

void t.test('T8: Docker’s block is the same ever after, and as large as can be had', async (test) => {
  const { cluster, a, b } = await twoHosts(test.testdir());
  const block = await a.handOut.dockerRange('blue', undefined);
  test.equal(block, '10.42.0.64/26', 'the largest that is free here');
  test.equal(await a.handOut.dockerRange('blue', 8), block);
  const asked = b.handOut.dockerRange('blue', 5);
  cluster.run(1_000);
  test.equal(await asked, '10.42.0.248/29', 'a power of two');
});

void t.test('T8: a network of both families has a block of each', async (test) => {
  const cluster = new PoolHosts(test.testdir());
  cluster.networks = [{ ...cluster.networks[0]!, subnet6: 'fd42::/64' }];
  const { handOut } = cluster.start('a');
  cluster.run(5_000);
  test.match(await handOut.dockerRange('blue', undefined, 6), /^fd42::[0-9a-f:]*\/120$/);
  test.match(await handOut.dockerRange('blue', undefined), /^10\.42\./);
});

void t.test(
  'T8: an address of a block for Docker is refused as such, on its host and elsewhere',
  async (test) => {
    const { cluster, a, b } = await twoHosts(test.testdir());
    const block = await a.handOut.dockerRange('blue', 16);
    cluster.run(2_000);
    const [address = ''] = block.split('/');
    const refused = (handOut: HandOut, host: string): Promise<unknown> =>
      test.rejects(handOut.request('blue', { family: 4, address }), {
        code: 'OVL_ADDRESS_TAKEN',
        message: `${address} of "blue" is taken: it is in the --ip-range of Docker on ${host}`,
      });
    await refused(a.handOut, 'this host');
    const elsewhere = refused(b.handOut, 'a');
    cluster.run(3_000);
    await elsewhere;
  },
);

void t.test('who waits for a pool that is dropped goes on with the next one', async (test) => {
  const { cluster, b } = await twoHosts(test.testdir());
  const before = b.pool;
  // No block of that size is free in what it has.
  for (const text of ['10.42.0.130', '10.42.0.200']) before.pool.space.use(parseAddress(text, 4)!);
  const asked = b.handOut.dockerRange('blue', 64);
  cluster.networks = [{ ...BLUE, subnet: '10.44.0.0/24' }];
  for (const { pools } of cluster.hosts.values()) pools.sync(cluster.now);
  test.equal(await before.until(() => 'something', 10), undefined, 'a dropped pool gives nothing');
  await new Promise((resolve) => setImmediate(resolve));
  cluster.run(5_000);
  test.match(await asked, /^10\.44\.0\./);
  test.strictSame(before.pool.holding.estate.docker, []);
});

void t.test('an IPv6 network has its addresses too', async (test) => {
  const cluster = new PoolHosts(test.testdir());
  const { subnet: _, ...blue } = cluster.networks[0]!;
  cluster.networks = [{ ...blue, subnet6: 'fd42::/64' }];
  const { handOut } = cluster.start('a');
  const asked = handOut.request('blue', { family: 6 });
  cluster.run(5_000);
  test.equal(await asked, 'fd42::2/64');
  test.match(await handOut.dockerRange('blue', undefined), /^fd42::[0-9a-f:]*\/120$/);
});
