/** All sources together: flags beat environment beats file beats default, and where each value came from is kept. */
import {
  locateEnvironment,
  locateFlag,
  readEnvironment,
  readFlags,
  unknownVariables,
} from './environment.ts';
import type { Environment, FlagValues } from './environment.ts';
import { readConfigFile } from './file.ts';
import type { Locate } from './layer.ts';
import { OPTIONS } from './options.ts';
import { resolveConfig } from './resolve.ts';
import type { RunConfig } from './run-config.ts';
import type { ConfigKey, RawConfig } from './schema.ts';
import type { Machine } from './underlay.ts';

export interface Sources {
  readonly flags: FlagValues;
  readonly environment: Environment;
  /** Path of the YAML file; undefined: none, unless the environment names one. */
  readonly configFile: string | undefined;
}

export interface Origin {
  readonly source: 'flag' | 'environment' | 'file' | 'default';
  /** For people: `--join`, `OVERLAYD_JOIN`, `overlayd.yaml:3:1`, `default`. */
  readonly where: string;
}

export interface LoadedConfig {
  readonly config: RunConfig;
  readonly origins: ReadonlyMap<ConfigKey, Origin>;
  /** Sentences for the log: nothing that keeps the daemon from running. */
  readonly warnings: readonly string[];
}

interface Layer {
  readonly source: Origin['source'];
  readonly values: RawConfig;
  readonly locate: Locate;
}

/** Throws OverlaydError. */
export async function loadConfig(sources: Sources, machine: Machine): Promise<LoadedConfig> {
  const layers: Layer[] = [
    { source: 'flag', values: readFlags(sources.flags), locate: locateFlag },
    { source: 'environment', values: readEnvironment(sources.environment), locate: locateEnvironment },
  ];
  const path = sources.configFile ?? sources.environment['OVERLAYD_CONFIG'];
  if (path !== undefined && path !== '') layers.push({ source: 'file', ...readConfigFile(path) });
  const { merged, origins } = merge(layers);
  const config = await resolveConfig(merged, machine, (key) => origins.get(key)?.where ?? key);
  const warnings = unknownVariables(sources.environment).map(({ name, nearest }) =>
    nearest === undefined ? `${name} is no option of ours` : `${name} is no option of ours; ${nearest} is`,
  );
  return { config, origins, warnings };
}

/** A list of a stronger source replaces that of a weaker one; lists are not joined. */
function merge(layers: readonly Layer[]): { merged: RawConfig; origins: Map<ConfigKey, Origin> } {
  const merged: Record<string, unknown> = {};
  const origins = new Map<ConfigKey, Origin>();
  for (const { key } of OPTIONS) {
    const layer = layers.find(({ values }) => values[key] !== undefined);
    if (layer === undefined) {
      origins.set(key, { source: 'default', where: 'default' });
    } else {
      merged[key] = layer.values[key];
      origins.set(key, { source: layer.source, where: layer.locate([key]) });
    }
  }
  return { merged, origins };
}
