import { readFileSync, readdirSync } from 'node:fs';

/** Loads test/golden/memberlist/: captures of Go memberlist members talking (see the README there). */
export interface Vector {
  readonly file: string;
  readonly index: number;
  readonly via: 'udp' | 'tcp';
  readonly role?: 'dialer' | 'acceptor';
  readonly sender?: string;
  /** Outermost first: label(x), encryptMsg+gcm(vN), crc, lzw(bytes), compound(n). */
  readonly layers: readonly string[];
  readonly hex: string;
  readonly label: string;
  /** Hex of the cluster's keys, where it had some. */
  readonly keysHex: readonly string[];
  readonly decoded: unknown;
}

interface VectorFile {
  readonly label: string;
  readonly keysHex?: readonly string[];
  readonly vectors: readonly Omit<Vector, 'file' | 'index' | 'label' | 'keysHex'>[];
}

/** Tests run compiled, from the project's root. */
export const GOLDEN_DIR = 'test/golden/memberlist';

export function readGolden(file: string): unknown {
  return JSON.parse(readFileSync(`${GOLDEN_DIR}/${file}`, 'utf8'));
}

/** All packets and streams that need no key. */
export function plainVectors(): Vector[] {
  return allVectors().filter((vector) => !isSealed(vector));
}

/** All packets and streams that are encrypted, with the keys of their cluster. */
export function sealedVectors(): Vector[] {
  return allVectors().filter(isSealed);
}

const isSealed = ({ layers }: Vector): boolean => layers.some((layer) => layer.includes('gcm'));

function allVectors(): Vector[] {
  const files = readdirSync(GOLDEN_DIR).filter((name) => name.endsWith('.json'));
  return files
    .filter((file) => file !== 'lzw.json' && !file.startsWith('extra-'))
    .flatMap((file) => {
      const { label, keysHex = [], vectors } = readGolden(file) as VectorFile;
      return vectors.map((vector, index) => ({ ...vector, label, keysHex, file, index }));
    });
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
