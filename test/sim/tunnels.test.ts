import { tunnelCryptoReady } from '../../agent/crypto/tunnel-crypto.ts';
import { pskOf } from '../proto/tunnel/host.ts';
import { GOOD_LINK } from './network.ts';
import type { LinkFaults } from './network.ts';
import { scenario } from './scenario.ts';
import { TunnelNet } from './tunnel-net.ts';

/** Tunnels under loss, duplication, reordering, restarts, wrong clocks and changing keys: all converge, nothing is lost to it. */
await tunnelCryptoReady;

const BAD_LINK: LinkFaults = {
  ...GOOD_LINK,
  latencyMs: 10,
  jitterMs: 25,
  loss: 0.05,
  duplicate: 0.03,
  reorder: 0.05,
};
const TEN_MINUTES_MS = 600_000;

scenario(
  '100 rotations with 5 % loss and clocks apart: no datagram is lost to them',
  [1, 2, 3],
  (test, sim) => {
    const net = new TunnelNet(sim, { count: 2, timing: { rekeyIntervalMs: 2_000 }, psks: [pskOf(1)] });
    const [a, b] = net.nodes as [(typeof net.nodes)[0], (typeof net.nodes)[0]];
    a.skewMs = TEN_MINUTES_MS;
    b.skewMs = -TEN_MINUTES_MS;
    sim.network.faults = BAD_LINK;
    for (const node of net.nodes) node.start();
    test.ok(
      sim.runUntil(() => net.allAgree(), 10_000),
      'they found together',
    );
    net.talk(10);
    const rekeys = (): number => Math.min(...net.nodes.map(({ host }) => host!.count('session:rekey')));
    test.ok(
      sim.runUntil(() => rekeys() >= 100, 400_000, 500),
      'a hundred of them',
    );
    for (const { host, name } of net.nodes) {
      const { sent, unsent, received, refused } = host!.data;
      test.comment(`${name}: ${JSON.stringify(host!.data)}, ${host!.count('session:rekey')} rekeys`);
      test.equal(unsent, 0, 'there always is a session to send on');
      test.equal(refused, 0, 'all that came in was opened');
      test.ok(received > sent * 0.9);
      test.ok(host!.installed.size <= 8, 'old sessions go');
    }
    test.equal(net.nodes[0]!.host!.count('drop:transmit-queue'), 0);
  },
);
