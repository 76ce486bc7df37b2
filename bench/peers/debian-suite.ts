/**
 * A program of another Debian suite, run beside the installed system: fetched by apt with sources, lists and cache of
 * its own, unpacked, and started through the dynamic loader of that suite's libc. Nothing is installed.
 *
 * Kept in the temporary folder between benches. The folder is root's alone, or it is not used: what is in it is run.
 */

import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../harness/command.ts';
import { PeerUnavailable, messageOf } from '../harness/errors.ts';

const MAIN_SOURCES = '/etc/apt/sources.list.d/debian.sources';
const DEFAULT_MIRROR = 'http://deb.debian.org/debian';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const FETCH_TIMEOUT_MS = 180_000;

/** Resolves with the argv prefix that runs `program` (an absolute path inside the package). */
export async function fetchSuiteProgram(
  suite: string,
  packageName: string,
  program: string,
  signal: AbortSignal,
): Promise<string[]> {
  const folder = join(tmpdir(), `ovlbench-${suite}`);
  const root = join(folder, 'root');
  try {
    makePrivateFolder(folder);
    if (!existsSync(join(root, program)))
      await fetchPackages(folder, root, suite, [packageName, 'libc6'], signal);
    const libraries = join(root, 'usr/lib', libraryFolder(root));
    return [loaderIn(libraries), '--library-path', libraries, join(root, program)];
  } catch (error) {
    signal.throwIfAborted();
    throw new PeerUnavailable(`${packageName} of ${suite} could not be fetched: ${messageOf(error)}`);
  }
}

function makePrivateFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    throw new PeerUnavailable('its scratch folder exists and is not ours alone');
  }
}

async function fetchPackages(
  folder: string,
  root: string,
  suite: string,
  packages: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const downloads = join(folder, 'downloads');
  for (const name of ['lists/partial', 'cache/archives/partial', 'state', 'downloads']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  const sources = join(folder, 'suite.sources');
  const lines = [
    'Types: deb',
    `URIs: ${mirror()}`,
    `Suites: ${suite}`,
    'Components: main',
    `Signed-By: ${KEYRING}`,
  ];
  writeFileSync(sources, `${lines.join('\n')}\n`);
  writeFileSync(join(folder, 'status'), '');
  const settings = {
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '-',
    'Dir::State': join(folder, 'state'),
    'Dir::State::lists': join(folder, 'lists'),
    'Dir::State::status': join(folder, 'status'),
    'Dir::Cache': join(folder, 'cache'),
    'APT::Sandbox::User': 'root',
  };
  const apt = [
    'apt-get',
    '-q',
    ...Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]),
  ];
  const bounds = { signal, timeoutMs: FETCH_TIMEOUT_MS, cwd: downloads };
  await run([...apt, 'update'], bounds);
  await run([...apt, 'download', ...packages], bounds);
  for (const file of readdirSync(downloads).filter((name) => name.endsWith('.deb'))) {
    await run(['dpkg-deb', '-x', join(downloads, file), root], bounds);
  }
}

/** The mirror this machine already uses for Debian. */
function mirror(): string {
  if (!existsSync(MAIN_SOURCES)) return DEFAULT_MIRROR;
  return /^URIs:\s*(\S+)/m.exec(readFileSync(MAIN_SOURCES, 'utf8'))?.[1] ?? DEFAULT_MIRROR;
}

/** Debian's multiarch folder: `x86_64-linux-gnu`, … */
function libraryFolder(root: string): string {
  const found = readdirSync(join(root, 'usr/lib')).find((name) => name.endsWith('-linux-gnu'));
  if (found === undefined) throw new PeerUnavailable('its libc has no library folder');
  return found;
}

function loaderIn(libraries: string): string {
  const found = readdirSync(libraries).find((name) => /^ld-linux.*\.so/.test(name));
  if (found === undefined) throw new PeerUnavailable('its libc has no dynamic loader');
  return join(libraries, found);
}
