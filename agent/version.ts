/** The version of this build, from the package that it ships in. */
import { readFileSync } from 'node:fs';

// From build/agent/version.js; the package file is never compiled into the build.
const packageFile = new URL('../../package.json', import.meta.url);

export const VERSION = (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }).version;
