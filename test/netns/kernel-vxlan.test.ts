/** The wire is RFC 7348: a kernel vxlan device is the other end, and tshark finds no fault in any frame. */
import type { Test } from 'tap';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { transfer } from '../../agent/demo/transfer.ts';
import { CAPTURE_PROGRAMS, Capture } from './capture.ts';
import { allKnown, pairs, startCluster, testbedFor, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';
import { KERNEL_PEER_PROGRAMS, addKernelVxlan, setOffloads } from './kernel-peer.ts';

const VNI = 4096;
const TRANSFER_BYTES = 32 << 20;

/** Two hosts with overlayd and one with a kernel device, which they know as a static peer. */
async function mixedCluster(t: Test, args: readonly string[]): Promise<{ kernel: Host; overlay: Host[] }> {
  const { testbed, daemons } = testbedFor(t);
  const overlay = [testbed.addHost(), testbed.addHost()];
  const kernel = testbed.addHost();
  await addKernelVxlan(kernel, VNI, overlay);
  for (const host of overlay) {
    daemons.push(host.startDaemon({ args: ['--static-peer', `${kernel.ipv4},network=overlay`, ...args] }));
  }
  await Promise.all(daemons.map((daemon) => allKnown(daemon, overlay.length)));
  return { kernel, overlay };
}

async function checkTransfers(t: Test, containers: readonly Container[]): Promise<void> {
  for (const [from, to] of pairs(containers)) {
    for (const address of [to.ipv4, to.ipv6]) {
      const { sent, received } = await transfer(from, to, address, { bytes: TRANSFER_BYTES, hash: true });
      t.equal(
        received.sha256,
        sent.sha256,
        `${from.name} -> ${address}: ${TRANSFER_BYTES >> 20} MiB arrive unchanged`,
      );
    }
  }
}

for (const io of ['batch', 'dgram']) {
  for (const offloads of ['on', 'off'] as const) {
    const title = `a kernel vxlan device as static peer, --io ${io}, underlay offloads ${offloads}`;
    netnsTest(title, KERNEL_PEER_PROGRAMS, async (t) => {
      const { kernel, overlay } = await mixedCluster(t, ['--io', io]);
      // Between veth ends nobody finishes the checksums that the kernel leaves to the network card.
      await setOffloads(kernel, 'off', ['tx']);
      const features = ['tx', 'gso', 'gro', 'tso'];
      if (offloads === 'off')
        for (const host of [kernel, ...overlay]) await setOffloads(host, 'off', features);
      const containers = [...overlay, kernel].map((host) => host.addContainer());
      t.strictSame(await unreachable(containers), [], 'all answer each other, IPv4 and IPv6');
      await checkTransfers(t, containers);
    });
  }
}

for (const io of ['batch', 'dgram']) {
  const programs = [...KERNEL_PEER_PROGRAMS, ...CAPTURE_PROGRAMS];
  netnsTest(`tshark finds no fault in what --io ${io} sends`, programs, async (t) => {
    const { testbed } = await startCluster(t, { hosts: 2, args: ['--io', io] });
    // Captured on a veth, a datagram with offloads is not yet what a wire would carry.
    for (const host of testbed.hosts) await setOffloads(host, 'off', ['tx', 'gso', 'gro', 'tso']);
    const [first, second] = testbed.hosts;
    if (first === undefined || second === undefined) throw new Error('two hosts');
    const containers = testbed.hosts.map((host) => host.addContainer());
    const capture = await Capture.start(first, 'frames');
    t.strictSame(await unreachable(containers), []);
    for (const [from, to] of pairs(containers)) {
      for (const address of [to.ipv4, to.ipv6]) await transfer(from, to, address, { bytes: 2 << 20 });
    }
    const verdict = await capture.judge(VNI);
    t.ok(verdict.frames > 4000, `${verdict.frames} frames captured`);
    t.equal(verdict.vxlan, verdict.frames, 'every one is VXLAN with the VNI of the network');
    t.strictSame(
      verdict.bad.slice(0, 10),
      [],
      'none is malformed, none has a bad checksum, inside or outside',
    );
  });
}
