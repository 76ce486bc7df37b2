/** What `npm run install-host` puts on a host: the command that README and unit call, and the files that they name. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import tap from 'tap';

const INSTALL = fileURLToPath(new URL('../../../packaging/install.sh', import.meta.url));

const mode = (path: string): number => statSync(path).mode & 0o777;

void tap.test('5.7 a host where it is installed', async (t) => {
  const root = t.testdir({});
  const install = (): string => execFileSync(INSTALL, [root], { encoding: 'utf8' });
  t.match(install(), /^installed: overlayd \d/m);

  const unit = readFileSync(join(root, 'etc/systemd/system/overlayd.service'), 'utf8');
  const [, program = '', config = ''] = /^ExecStart=(\S+) run --config (\S+)$/m.exec(unit) ?? [];
  accessSync(join(root, program), constants.X_OK);
  t.match(execFileSync(join(root, program), ['--help'], { encoding: 'utf8' }), /docker-command/);
  // All that the daemon is made of, and the packages that it needs.
  const daemon = join(root, 'opt/overlayd/build/agent/daemon.js');
  execFileSync(process.execPath, ['-e', `await import(${JSON.stringify(daemon)})`, '--input-type=module']);

  t.equal(mode(join(root, 'etc/overlayd')), 0o700);
  writeFileSync(join(root, config), 'node-name: a\n');
  install();
  t.equal(readFileSync(join(root, config), 'utf8'), 'node-name: a\n', 'the configuration is the operator’s');
  t.match(execFileSync(join(root, program), ['version'], { encoding: 'utf8' }), /^overlayd \d/);
});
