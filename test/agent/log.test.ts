import tap from 'tap';
import { OverlaydError } from '../../agent/errors.ts';
import { createLog } from '../../agent/log.ts';
import type { Log } from '../../agent/log.ts';
import type { LogFormat } from '../../agent/config/run-config.ts';

function capture(format: LogFormat): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const log = createLog({ level: 'info', format }, { write: (line) => void lines.push(line) });
  return { log, lines };
}

void tap.test('JSON: one line per event, levels by name', async (t) => {
  const { log, lines } = capture('json');
  log.info({ peer: 'b', addr: '192.0.2.2:7946' }, 'joined');
  log.debug({}, 'not said');
  t.equal(lines.length, 1);
  const event = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
  t.match(event, { level: 'info', peer: 'b', addr: '192.0.2.2:7946', msg: 'joined', time: /^\d{4}-.*Z$/ });
  t.notOk('pid' in event);
});

void tap.test('text: short, and safe for a terminal', async (t) => {
  const { log, lines } = capture('text');
  log.warn({ peer: 'evil\u001B[2J', count: 2, reason: 'unknown-vni' }, 'dropped\nagain');
  t.match(
    lines[0],
    /^\d\d:\d\d:\d\d\.\d{3} warn {2}dropped again peer="evil\\u001b\[2J" count=2 reason=unknown-vni\n$/,
  );
});

void tap.test('errors keep code and hint; strangers keep their stack', async (t) => {
  const { log, lines } = capture('json');
  log.error({ err: new OverlaydError('OVL_X', 'no', { hint: 'Do so.' }) }, 'failed');
  log.error({ err: new TypeError('oops') }, 'failed');
  t.match(JSON.parse(lines[0] ?? ''), { err: { code: 'OVL_X', message: 'no', hint: 'Do so.' } });
  t.match(JSON.parse(lines[1] ?? ''), { err: { message: 'oops', stack: /TypeError: oops/ } });
});

void tap.test('key material does not reach the log', async (t) => {
  for (const format of ['json', 'text'] as const) {
    const { log, lines } = capture(format);
    const canary = 'Y2FuYXJ5LWtleS1tYXRlcmlhbA==';
    // The vocabulary has no such fields; somebody may still pass an object that has.
    const careless: object = {
      key: canary,
      psk: canary,
      session: { privateKey: canary },
      a: { b: { secret: canary } },
    };
    log.info(careless, 'x');
    t.match(lines.join(''), '[redacted]');
    t.notMatch(lines.join(''), canary, format);
  }
});
