/** The YAML file: parsed with positions, so that every complaint about it has a line and a column. JSON is YAML too. */
import { closeSync, openSync, readSync } from 'node:fs';
import { LineCounter, isMap, isNode, isScalar, isSeq, parseDocument } from 'yaml';
import type { Document, Node } from 'yaml';
import { OverlaydError } from '../errors.ts';
import { checkLayer, configError } from './layer.ts';
import type { Locate, Path } from './layer.ts';
import type { RawConfig } from './schema.ts';

/** A configuration is small; a device or a log given by mistake is not. */
const MAX_FILE_BYTES = 1 << 20;

export interface ConfigFile {
  readonly values: RawConfig;
  readonly locate: Locate;
}

export function readConfigFile(path: string): ConfigFile {
  return parseConfigFile(readText(path), path);
}

export function parseConfigFile(text: string, path: string): ConfigFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${path}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    throw configError(document.errors.map(({ pos, message }) => ({ where: at(pos[0]), message })));
  }
  const locate: Locate = (where) => at(offsetOf(document, where));
  const root = toPlain(document, path);
  if (typeof root !== 'object' || Array.isArray(root)) {
    throw configError([{ where: locate([]), message: 'expected "key: value" lines' }]);
  }
  return { values: checkLayer(root as Record<string, unknown>, locate, 'numbered'), locate };
}

function readText(path: string): string {
  const buffer = Buffer.alloc(MAX_FILE_BYTES + 1);
  let length = 0;
  try {
    const fd = openSync(path, 'r');
    try {
      // Read and not stat: a pipe (`--config <(…)`) is welcome, an endless device is not.
      for (let got = 1; got > 0 && length < buffer.length; length += got) {
        got = readSync(fd, buffer, length, buffer.length - length, null);
      }
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new OverlaydError('OVL_CONFIG_UNREADABLE', `cannot read the configuration: ${message}`, {
      hint: code === 'ENOENT' ? `Create ${path}, or give another file with --config.` : `Check ${path}.`,
      cause: error,
      exitCode: code === 'EACCES' ? 4 : 2,
    });
  }
  if (length <= MAX_FILE_BYTES) return buffer.toString('utf8', 0, length);
  throw configError([{ where: path, message: 'is too large to be a configuration' }]);
}

/** An empty file is an empty configuration. Aliases are followed, but not into an explosion. */
function toPlain(document: Document.Parsed, path: string): unknown {
  try {
    return (document.toJS({ maxAliasCount: 100 }) as unknown) ?? {};
  } catch (error) {
    throw configError([{ where: path, message: (error as Error).message }]);
  }
}

/** Offset of the key (in a mapping) or item (in a list) that `path` names; of the nearest thing around it otherwise. */
function offsetOf(document: Document.Parsed, path: Path): number {
  let node: Node | null | undefined = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const part of path) {
    let next: unknown;
    if (isMap(node)) {
      const pair: { key: unknown; value: unknown } | undefined = node.items.find(
        ({ key }) => isScalar(key) && String(key.value) === String(part),
      );
      if (isNode(pair?.key)) offset = pair.key.range?.[0] ?? offset;
      next = pair?.value;
    } else if (isSeq(node)) {
      next = node.items[Number(part)];
      if (isNode(next)) offset = next.range?.[0] ?? offset;
    }
    node = isNode(next) ? next : undefined;
  }
  return offset;
}
