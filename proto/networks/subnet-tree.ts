/**
 * Subnets as a binary tree of their bits, one tree for each family: finds the first that was added of those that overlap with
 * a given one, in as many steps as that has bits. What is no subnet overlaps with nothing.
 */
import { parsePrefix } from './cidr.ts';

interface Item<T> {
  readonly order: number;
  readonly value: T;
}

interface Node<T> {
  readonly children: [Node<T> | undefined, Node<T> | undefined];
  /** The first with just these bits. */
  here: Item<T> | undefined;
  /** The first that begins with these bits, `here` included. */
  under: Item<T> | undefined;
}

export class SubnetTree<T> {
  /** By length of an address in bytes. */
  readonly #roots = new Map<number, Node<T>>();
  #count = 0;

  add(subnet: string, value: T): void {
    const prefix = parsePrefix(subnet);
    if (prefix === undefined) return;
    const { bytes, length } = prefix;
    const item = { order: this.#count++, value };
    let node = this.#roots.get(bytes.length) ?? emptyNode<T>();
    this.#roots.set(bytes.length, node);
    node.under ??= item;
    for (let i = 0; i < length; i++) {
      node = node.children[bitOf(bytes, i)] ??= emptyNode();
      node.under ??= item;
    }
    node.here ??= item;
  }

  firstOverlapping(subnet: string): T | undefined {
    const prefix = parsePrefix(subnet);
    if (prefix === undefined) return undefined;
    const { bytes, length } = prefix;
    let node = this.#roots.get(bytes.length);
    let first: Item<T> | undefined;
    // Those that it lies in, then those that lie in it.
    for (let i = 0; node !== undefined && i < length; i++) {
      first = earlier(first, node.here);
      node = node.children[bitOf(bytes, i)];
    }
    return earlier(first, node?.under)?.value;
  }
}

const emptyNode = <T>(): Node<T> => ({ children: [undefined, undefined], here: undefined, under: undefined });

const bitOf = (bytes: Uint8Array, bit: number): 0 | 1 =>
  ((bytes[bit >> 3]! >> (7 - (bit & 7))) & 1) === 0 ? 0 : 1;

function earlier<T>(a: Item<T> | undefined, b: Item<T> | undefined): Item<T> | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a.order <= b.order ? a : b;
}
