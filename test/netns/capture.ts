/** Records a host's underlay traffic at the bridge and lets tshark judge every frame of it. */
import { join } from 'node:path';
import type { Host } from '../../agent/demo/hosts.ts';
import { Background, run, until } from '../../agent/demo/process.ts';
import { TRANSFER_PORT } from '../../agent/demo/transfer.ts';

export const CAPTURE_PROGRAMS = ['tcpdump', 'tshark'] as const;

export interface Verdict {
  /** Frames to UDP 4789. */
  readonly frames: number;
  /** Of these, frames that tshark takes for VXLAN of `vni`. */
  readonly vxlan: number;
  /** Frames that are malformed, have an expert error, or a wrong checksum at any layer; one line each. */
  readonly bad: readonly string[];
}

const FIELDS = [
  'vxlan.vni',
  '_ws.malformed',
  '_ws.expert.severity',
  'ip.checksum.status',
  'udp.checksum.status',
  'tcp.checksum.status',
  'frame.number',
];
const EXPERT_ERROR = 0x0080_0000;
const CHECKSUM_BAD = '0';
const ALL = ['udp', 'dst', 'port', '4789'];
/** First byte of the payload: 6 and 7, 16 and 17. */
const FRAMES = [...ALL, 'and', 'udp[8]', '&', '0xfe', '!=', '6', 'and', 'udp[8]', '&', '0xfe', '!=', '16'];
const FRAMES_MAX = 20_000;
const DUMPED_MAX = 3;

export class Capture {
  readonly #file: string;
  readonly #process: Background;

  private constructor(file: string, process: Background) {
    this.#file = file;
    this.#process = process;
  }

  /** Everything to the data port, or (IPv4 only) what is neither a path probe nor an echo, nor an answer to one. */
  static async start(host: Host, what: 'all' | 'frames' = 'all'): Promise<Capture> {
    const file = join(host.scratch, 'underlay.pcap');
    const options = ['-Z', 'root', '-U', '-s', '0', '-c', `${FRAMES_MAX}`, '-B', '16384', '-w', file];
    const argv = ['tcpdump', '-i', `p${host.number}`, ...options, ...(what === 'all' ? ALL : FRAMES)];
    const process = new Background(host.testbed.inside(argv), join(host.scratch, 'tcpdump.log'));
    await until('tcpdump listens', 10_000, () => process.log().includes('listening on'));
    return new Capture(file, process);
  }

  /** UDP payloads to 4789 so far, as hex. */
  async payloads(): Promise<string[]> {
    await this.#process.stop('SIGINT');
    const decoding = ['-d', 'udp.port==4789,data'];
    const argv = ['tshark', '-n', '-r', this.#file, ...decoding, '-T', 'fields', '-e', 'udp.payload'];
    const done = await run(argv, 120_000);
    if (done.status !== 0) throw new Error(`tshark: ${done.stderr}`);
    return done.stdout.split('\n').filter((line) => line !== '');
  }

  async judge(vni: number): Promise<Verdict> {
    await this.#process.stop('SIGINT');
    const checks = ['ip', 'udp', 'tcp'].flatMap((layer) => ['-o', `${layer}.check_checksum:TRUE`]);
    // Frames are judged, not the streams and payloads in them: those are the containers' business.
    checks.push('-o', 'tcp.analyze_sequence_numbers:FALSE', '-d', `tcp.port==${TRANSFER_PORT},data`);
    const fields = FIELDS.flatMap((field) => ['-e', field]);
    const argv = [
      'tshark',
      '-n',
      '-r',
      this.#file,
      ...checks,
      '-T',
      'fields',
      '-E',
      'separator=;',
      ...fields,
    ];
    const done = await run(argv, 120_000);
    const rows = done.stdout.split('\n').filter((line) => line !== '');
    if (done.status !== 0) throw new Error(`tshark: ${done.stderr}`);
    return {
      frames: rows.length,
      vxlan: rows.filter((row) => row.split(';')[0] === `${vni}`).length,
      bad: await this.#dump(rows.filter(isBad)),
    };
  }

  /** Each bad row with all bytes of its frame: such a thing is rare, and must be understood from one occurrence. */
  async #dump(rows: readonly string[]): Promise<string[]> {
    const dumped: string[] = [];
    for (const row of rows.slice(0, DUMPED_MAX)) {
      const filter = `frame.number==${row.split(';').at(-1) ?? ''}`;
      const { stdout } = await run(['tshark', '-n', '-x', '-r', this.#file, '-Y', filter], 120_000);
      dumped.push(`${row}\n${stdout}`);
    }
    return [...dumped, ...rows.slice(DUMPED_MAX)];
  }
}

/** A field that occurs in several layers holds several values, comma-separated. */
function isBad(row: string): boolean {
  const [, malformed = '', severity = '', ...others] = row.split(';');
  const checksums = others.slice(0, -1); // the frame's number is the last
  return (
    malformed !== '' ||
    severity.split(',').some((value) => Number(value) >= EXPERT_ERROR) ||
    checksums.some((statuses) => statuses.split(',').includes(CHECKSUM_BAD))
  );
}
