/**
 * The log: one line per event on stdout, JSON for machines (the default away from a terminal) or text for people.
 *
 * Levels: error = an operator must act; warn = may become one; info = state changes only; debug and trace are free.
 * Nothing per packet is logged, ever. Fields come from a fixed vocabulary, so that a search written once keeps working;
 * key material is censored by name, wherever it stands in the first two levels of an event.
 */
import { pino } from 'pino';
import type { DestinationStream } from 'pino';
import { OverlaydError } from './errors.ts';
import type { LogFormat, LogLevel } from './config/run-config.ts';

/** What of pino everybody uses; the compiler holds all to the vocabulary. */
export interface Log {
  level: string;
  error(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  trace(fields: LogFields, message: string): void;
}

/** A log whose form can be changed while it is written. */
export interface ChangeableLog extends Log {
  format: LogFormat;
}

/** The vocabulary: what an event may carry beside its message. */
export interface LogFields {
  /** Node name of another host. */
  readonly peer?: string;
  /** Underlay address, `IP` or `IP:PORT`. */
  readonly addr?: string;
  /** Member state: `alive`, `suspect`, `dead`, `left`. */
  readonly state?: string;
  readonly network?: string;
  readonly vni?: number;
  readonly tap?: string;
  /** Bytes of an IP packet: of a TAP, of the path to a peer; and what it was before. */
  readonly mtu?: number;
  readonly before?: number;
  readonly mac?: string;
  readonly ip?: string;
  /** The other side of a conflict: an address, a network name and its VNI, several node names. */
  readonly other?: string;
  readonly standing?: string;
  readonly standingVni?: number;
  readonly owners?: readonly string[];
  /** A table operation, and how many rows it was about. */
  readonly op?: string;
  readonly rows?: number;
  readonly worker?: number;
  /** Node name of the host whose word it is. */
  readonly by?: string;
  /** Of a gossip key, or of the key of a host; a secret key itself is never logged. */
  readonly fingerprint?: string;
  /** Of an HTTP request, or of a file. */
  readonly path?: string;
  /** Why: a drop reason, a close reason. */
  readonly reason?: string;
  readonly count?: number;
  /** Like events that were not logged since the last one. */
  readonly suppressed?: number;
  readonly durationMs?: number;
  /** Until the next attempt. */
  readonly retryMs?: number;
  /** What failed, in words, where a stack would say no more. */
  readonly error?: string | undefined;
  /** What was thrown; shown with code and hint, or with its stack. */
  readonly err?: unknown;
}

const SECRETS = ['key', 'keys', 'keyring', 'psk', 'secret', 'privateKey', 'sessionKey', 'password'];

/** Default destination: stdout, written synchronously, so that nothing is lost at exit. */
export function createLog(
  options: { readonly level: LogLevel; readonly format: LogFormat },
  destination: DestinationStream = pino.destination({ fd: 1, sync: true }),
): ChangeableLog {
  let { format } = options;
  const text = asText(destination);
  const chosen: DestinationStream = {
    write: (line) => (format === 'text' ? text : destination).write(line),
  };
  const log = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
      redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
    },
    chosen,
  );
  return Object.defineProperty(log, 'format', {
    get: () => format,
    set: (wanted: LogFormat) => {
      format = wanted;
    },
  }) as unknown as ChangeableLog;
}

/** Our own errors keep code and hint; a stack only for those nobody expected. */
function describeError(error: unknown): unknown {
  if (error instanceof OverlaydError) {
    const { code, message, hint } = error;
    return { code, message, ...(hint !== undefined && { hint }) };
  }
  if (error instanceof Error) return { message: error.message, stack: error.stack };
  return error;
}

/** `12:00:00.000 info  joined peer=b addr=192.0.2.2:7946` */
function asText(destination: DestinationStream): DestinationStream {
  return {
    write(line) {
      const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
      const clock = String(time).slice(11, 23);
      const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${fieldText(value)}`);
      destination.write(
        `${clock} ${String(level).padEnd(5)} ${typeof msg === 'string' ? oneLine(msg) : ''}${rest.join('')}\n`,
      );
    },
  };
}

/** Bare where that is unambiguous; JSON (which also escapes control characters) otherwise. */
function fieldText(value: unknown): string {
  return typeof value === 'string' && /^[\w.:/[\]@%+-]+$/.test(value) ? value : JSON.stringify(value);
}

/** A message may quote what a peer said: no line breaks, no terminal commands. */
function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}
