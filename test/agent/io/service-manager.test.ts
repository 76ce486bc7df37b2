/** sd_notify(3) by us, and the watchdog that the packet loop feeds (issue 5.7). */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tap from 'tap';
import { feedWatchdog } from '../../../agent/cli/watchdog.ts';
import { until } from '../../../agent/demo/process.ts';
import { ServiceManager } from '../../../agent/io/service-manager.ts';
import { scratchDirectory } from '../api/fake-view.ts';
import { UnixReceiver } from '../unix-receiver.ts';

for (const kind of ['a path', 'the abstract namespace'] as const) {
  void tap.test(`5.7 messages to ${kind}`, async (t) => {
    const name = kind === 'a path' ? join(scratchDirectory(), 'notify') : `@overlayd-test-${process.pid}`;
    const receiver = new UnixReceiver(name);
    t.teardown(() => receiver.close());
    const manager = new ServiceManager({ NOTIFY_SOCKET: name });
    manager.ready('h1\nis up');
    manager.reloading();
    manager.alive();
    manager.stopping();
    const [ready, reloading, alive, stopping] = receiver.take();
    t.equal(ready, 'READY=1\nSTATUS=h1 is up');
    const [, usec = '0'] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(reloading ?? '') ?? [];
    const now = Number(process.hrtime.bigint() / 1_000n);
    t.ok(Number(usec) <= now && Number(usec) > now - 60e6, 'the clock that systemd compares with');
    t.equal(alive, 'WATCHDOG=1');
    t.equal(stopping, 'STOPPING=1');
  });
}

void tap.test('5.7 without a manager, or with one that is gone, nothing happens', async (t) => {
  for (const NOTIFY_SOCKET of [undefined, '', 'relative', `/${'x'.repeat(200)}`, '/nowhere/notify']) {
    const manager = new ServiceManager({ NOTIFY_SOCKET });
    manager.ready('x');
    manager.stopping();
    t.equal(manager.watchdogMs, undefined);
  }
});

void tap.test('5.7 the watchdog is ours when its pid is', async (t) => {
  const of = (more: Record<string, string>, pid = 7) =>
    new ServiceManager({ NOTIFY_SOCKET: '@x', WATCHDOG_USEC: '20000000', ...more }, pid).watchdogMs;
  t.equal(of({}), 20_000);
  t.equal(of({ WATCHDOG_PID: '7' }), 20_000);
  t.equal(of({ WATCHDOG_PID: '8' }), undefined);
  t.equal(of({ WATCHDOG_USEC: 'soon' }), undefined);
  t.equal(new ServiceManager({ WATCHDOG_USEC: '1' }).watchdogMs, undefined, 'nobody to tell');
});

void tap.test('5.7 fed while the packet loop beats, silent when it hangs', async (t) => {
  let fed = 0;
  let ageMs = 5;
  const stop = feedWatchdog({ watchdogMs: 80, alive: () => fed++ }, () => ageMs);
  await until('it is fed', 5_000, () => fed >= 3);
  ageMs = 50;
  await sleep(30);
  const before = fed;
  await sleep(200);
  t.equal(fed, before, 'a loop that hangs');
  ageMs = 5;
  await until('it is fed again', 5_000, () => fed > before);
  stop();
  const end = fed;
  await sleep(100);
  t.equal(fed, end);
  feedWatchdog({ watchdogMs: undefined, alive: () => t.fail('nobody watches') }, () => 0)();
});
