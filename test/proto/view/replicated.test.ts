/**
 * Checklist 3.10: forwarding rows ≡ replicated state, on 25 hosts under random work. At the end every host's rows, built
 * change by change, are what its state wants, and all hosts send a MAC's frames to the same place.
 */
import * as fc from 'fast-check';
import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import { encodeVtep, vtepKey } from '../../../proto/state/values/vtep.ts';
import { EndpointAnnouncer } from '../../../proto/view/endpoints.ts';
import { ForwardingView } from '../../../proto/view/forwarding.ts';
import { Cluster } from '../state/cluster.ts';
import { RowModel, canonicalLines } from './row-model.ts';

const VNI = 4096;
const HOSTS = 25;
const MACS = 30;
const NETWORKS = [{ network: 0, vni: VNI, suppress: true, sealed: false }];

interface Control {
  readonly view: ForwardingView;
  readonly announcer: EndpointAnnouncer;
  readonly rows: RowModel;
}

const nameOf = (host: number): string => `h${host}`;
const addressOf = (host: number): string => `192.0.2.${host + 1}`;
const optionsOf = (host: number) => ({ self: nameOf(host), maxPayload: 1_450, moveLimit: Infinity });

class Fleet {
  readonly cluster: Cluster;
  readonly controls: Control[] = [];

  constructor(seed: number) {
    this.cluster = new Cluster(seed);
    Object.assign(this.cluster.faults, { loss: 0.1, duplicate: 0.05, latencyMs: 2, jitterMs: 40 });
    for (let host = 0; host < HOSTS; host++) this.boot(host);
    this.cluster.meet();
    this.run(3_000);
  }

  boot(host: number): void {
    const state = this.cluster.start(nameOf(host), [VNI]);
    const vtep = encodeVtep({ ip: addressOf(host), port: 4789 });
    state.put(this.cluster.now, 0, TABLE.vtep, vtepKey(nameOf(host)), vtep);
    const view = new ForwardingView(optionsOf(host), state);
    view.setNetworks(this.cluster.now, NETWORKS);
    this.controls[host] = {
      view,
      announcer: new EndpointAnnouncer(optionsOf(host), state),
      rows: new RowModel(),
    };
  }

  isUp(host: number): boolean {
    return this.cluster.hosts.get(nameOf(host))!.alive;
  }

  run(ms: number): void {
    for (let left = ms; left > 0; left -= 20) {
      this.cluster.run(Math.min(20, left));
      for (const [host, { view, announcer, rows }] of this.controls.entries()) {
        const state = this.cluster.state(nameOf(host));
        for (let c = state.pollChange(); c !== undefined; c = state.pollChange()) {
          view.handleChange(this.cluster.now, c);
          announcer.handleChange(this.cluster.now, c);
        }
        // Throws when a row comes before what it needs.
        rows.apply(view.takeChanges());
      }
    }
  }

  check(): void {
    const owners = new Map<number, string>();
    for (let host = 0; host < HOSTS; host++) {
      if (!this.isUp(host)) continue;
      const { view, rows } = this.controls[host]!;
      const fresh = new ForwardingView(optionsOf(host), this.cluster.state(nameOf(host)));
      fresh.setNetworks(0, NETWORKS);
      const want = canonicalLines(fresh.wanted()).join('\n');
      if (rows.lines().join('\n') !== want)
        throw new Error(`rows of ${nameOf(host)} are not what its state wants`);
      for (const { mac, owner } of view.endpoints(VNI)) {
        const known = owners.get(mac) ?? owner;
        owners.set(mac, known);
        if (known !== owner) throw new Error(`${mac} is at ${known} and at ${owner}`);
        if (!this.isUp(Number(owner.slice(1)))) throw new Error(`${mac} is at ${owner}, which is down`);
      }
    }
  }
}

const host = fc.nat({ max: HOSTS - 1 });
const mac = fc.integer({ min: 1, max: MACS });
const step = fc.tuple(
  fc.constantFrom('learn', 'learn', 'learn', 'learn', 'ip', 'ip', 'expire', 'crash', 'boot', 'wait', 'wait'),
  host,
  mac,
);

function play(fleet: Fleet, [op, who, which]: readonly [string, number, number]): void {
  const { cluster } = fleet;
  const { announcer } = fleet.controls[who]!;
  const up = fleet.isUp(who);
  if (op === 'wait') fleet.run(which * 20);
  else if (op === 'boot' && !up) {
    fleet.boot(who);
    cluster.meet();
  } else if (!up) return;
  else if (op === 'learn') announcer.handleMacLearned(cluster.now, VNI, which);
  else if (op === 'ip') announcer.handleIpLearned(cluster.now, VNI, which, `10.0.0.${(which % 10) + 1}`);
  else if (op === 'expire') announcer.handleMacExpired(cluster.now, VNI, which);
  else if (op === 'crash') cluster.crash(nameOf(who));
}

void t.test('rows are the state, and the state is one, on 25 hosts', async (test) => {
  const property = fc.property(
    fc.integer(),
    fc.array(step, { minLength: 40, maxLength: 120 }),
    (seed, steps) => {
      const fleet = new Fleet(seed);
      for (const s of steps) play(fleet, s);
      fleet.run(70_000);
      fleet.check();
    },
  );
  fc.assert(property, { seed: 20_261_122, numRuns: 5, endOnFailure: true });
  test.pass();
});
