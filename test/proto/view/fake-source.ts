/** State as the view sees it, without replication: claims are set by hand, and ordered by the product's own rule. */
import { orderClaims } from '../../../proto/state/claim-order.ts';
import { fromHex, toHex } from '../../../proto/state/bytes.ts';
import type { Claim, StateChange, StateRecord, Table } from '../../../proto/state/interface.ts';
import type { ForwardingSource } from '../../../proto/view/forwarding.ts';

export class FakeSource implements ForwardingSource {
  readonly #claims = new Map<string, Map<string, Claim>>();
  #hlc = 0n;

  set(
    owner: string,
    scope: number,
    table: Table,
    key: Uint8Array,
    value: Uint8Array,
    held = false,
  ): StateChange {
    const keyHex = toHex(key);
    const id = `${scope}/${table}/${keyHex}`;
    const claims = this.#claims.get(id) ?? new Map<string, Claim>();
    this.#claims.set(id, claims.set(owner, { owner, held, value, hlc: ++this.#hlc }));
    return { scope, table, keyHex };
  }

  unset(owner: string, scope: number, table: Table, key: Uint8Array): StateChange {
    const keyHex = toHex(key);
    this.#claims.get(`${scope}/${table}/${keyHex}`)?.delete(owner);
    return { scope, table, keyHex };
  }

  claims(scope: number, table: Table, keyHex: string): readonly Claim[] {
    return orderClaims(table, [...(this.#claims.get(`${scope}/${table}/${keyHex}`)?.values() ?? [])]);
  }

  *records(scope: number, table: Table): Generator<StateRecord> {
    for (const [id, claims] of this.#claims) {
      const [s, t, keyHex = ''] = id.split('/');
      if (Number(s) !== scope || Number(t) !== table) continue;
      for (const { owner, value, hlc } of claims.values()) {
        yield { scope, owner, table, key: fromHex(keyHex), value, hlc };
      }
    }
  }
}
