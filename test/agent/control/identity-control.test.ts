/** What an operator may order about keys of hosts, whatever others say of his host. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { IdentityControl } from '../../../agent/control/identity-control.ts';
import { Notices } from '../../../agent/control/notices.ts';
import { RevocationFile } from '../../../agent/control/revocation-file.ts';
import { monotonicMs } from '../../../agent/clock.ts';
import type { OverlaydError } from '../../../agent/errors.ts';
import { toHex } from '../../../proto/state/bytes.ts';
import { encodeNotice } from '../../../proto/state/messages.ts';
import { signRevocation } from '../../../proto/state/revocation.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { encodeVtep, vtepKey } from '../../../proto/state/values/vtep.ts';
import { Cluster } from '../../proto/state/cluster.ts';
import { fakeSigner } from '../../proto/state/fake-identity.ts';
import { recordingLog } from '../recording-log.ts';

const keyHexOf = (name: string): string => toHex(fakeSigner(name).publicKey);

/** Hosts a, b and c that know each other, with the control of a's keys. */
function hosts(folder: string): { cluster: Cluster; control: IdentityControl } {
  const cluster = new Cluster(1);
  for (const name of ['a', 'b', 'c']) {
    const addr = { ip: '192.0.2.7', port: 4789 };
    cluster.start(name).put(cluster.now, 0, TABLE.vtep, vtepKey(name), encodeVtep(addr));
  }
  cluster.meet();
  cluster.run(3_000);
  const { log } = recordingLog();
  const control = new IdentityControl({
    self: 'a',
    selfKey: fakeSigner('a').publicKey,
    state: cluster.state('a'),
    swim: { member: () => undefined },
    file: new RevocationFile(folder, log),
    renewGossipKey: () => true,
    onChange: () => undefined,
    notices: new Notices(),
    log,
  });
  return { cluster, control };
}

function showThatRevoked(cluster: Cluster, by: string, now: number): void {
  const content = { action: 'revoke', keyHex: keyHexOf('a'), name: 'a', stamp: cluster.wallBase } as const;
  const { bytes } = signRevocation(content, by, fakeSigner(by));
  cluster.state('a').handleMessage(now, '', encodeNotice(bytes));
}

t.beforeEach((test) => {
  const folder = mkdtempSync(join(tmpdir(), 'identity-control-'));
  test.context.folder = folder;
  test.teardown(() => rmSync(folder, { recursive: true }));
});

for (const by of ['stranger', 'c']) {
  void t.test(`a notice by ${by} that this host is revoked forbids it nothing`, async (test) => {
    const { cluster, control } = hosts(test.context.folder as string);
    showThatRevoked(cluster, by, monotonicMs());
    test.equal(control.revokedSelf()?.by, by === 'c' ? 'c' : undefined, 'one by a member is told');
    test.match(control.revoke({ node: 'c' }), { identity: { state: 'revoked' }, gossipKey: 'rotating' });
    test.match(control.revoke({ node: 'c', undo: true }), { identity: { name: 'c' } });
    test.match(control.forget('b'), { identity: { name: 'b' } });
  });
}

void t.test('who obeys a word against himself may say nothing more', async (test) => {
  const { cluster, control } = hosts(test.context.folder as string);
  const word = { action: 'revoke', name: 'a', keyHex: keyHexOf('a'), addr: undefined } as const;
  cluster.state('b').revoke(cluster.now, word);
  cluster.run(1_000);
  for (const order of [() => control.revoke({ node: 'c' }), () => control.forget('c')]) {
    const refusal = test.throws(order) as unknown as OverlaydError;
    test.match(refusal, { code: 'OVL_REVOKED', exitCode: 4 });
  }
});
