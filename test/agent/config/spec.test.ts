import * as fc from 'fast-check';
import tap from 'tap';
import { parseNetworkSpec, parseStaticPeer } from '../../../agent/config/spec.ts';

void tap.test('a full network spec', async (t) => {
  const text =
    'name=web,vni=100,subnet=10.50.0.0/16,gateway=10.50.0.1,ip-range=10.50.1.0/24,tap=tap7,mtu=1400,encrypted';
  t.strictSame(parseNetworkSpec(text), {
    name: 'web',
    vni: 100,
    subnet: '10.50.0.0/16',
    gateway: '10.50.0.1',
    'ip-range': '10.50.1.0/24',
    tap: 'tap7',
    mtu: 1400,
    encrypted: true,
  });
});

void tap.test('what is wrong with a network spec is said', async (t) => {
  const cases: Record<string, RegExp> = {
    'name=a,vmi=1': /unknown key "vmi".*did you mean "vni"/,
    'name=a': /"vni" is missing/,
    'vni=1': /"name" is missing/,
    'name=a,vni=1,name=b': /"name" is given twice/,
    'name=a,vni=1,encrypted=no': /"encrypted" takes no value/,
    'name=a,vni': /"vni" needs a value/,
    'name=a,,vni=1': /an empty part/,
    '': /an empty part/,
  };
  for (const [text, message] of Object.entries(cases)) {
    t.throws(() => parseNetworkSpec(text), { name: 'SyntaxError', message }, text);
  }
});

void tap.test('every spec that is written is read back, in any order of its parts', async (t) => {
  const word = fc.stringMatching(/^[a-z0-9]{1,10}$/);
  const fields = fc.record(
    {
      name: word,
      vni: fc.integer({ min: 1, max: 0xffffff }),
      subnet: fc.constantFrom('10.1.0.0/16', 'fd00::/64'),
      gateway: fc.ipV4(),
      'ip-range': fc.constant('10.1.2.0/24'),
      tap: word,
      mtu: fc.integer({ min: 68, max: 9000 }),
      encrypted: fc.constant(true),
    },
    { requiredKeys: ['name', 'vni'] },
  );
  const shuffled = fields.chain((value) =>
    fc.tuple(
      fc.constant(value),
      fc.shuffledSubarray(Object.entries(value), { minLength: Object.keys(value).length }),
    ),
  );
  fc.assert(
    fc.property(shuffled, ([value, entries]) => {
      const text = entries.map(([key, field]) => (field === true ? key : `${key}=${field}`)).join(',');
      const read = parseNetworkSpec(text);
      // A tap or a name of digits alone stays text.
      t.strictSame({ ...read }, { ...value });
    }),
    { numRuns: 200 },
  );
});

void tap.test('no text makes the readers do anything but answer or throw SyntaxError', async () => {
  const text = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[namevip=,0-9 ]{0,40}$/),
    fc.constant('__proto__=1'),
  );
  fc.assert(
    fc.property(text, (spec) => {
      for (const parse of [parseNetworkSpec, parseStaticPeer]) {
        try {
          parse(spec);
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error;
        }
      }
    }),
    { numRuns: 1000 },
  );
});

void tap.test('static peers', async (t) => {
  t.strictSame(parseStaticPeer('192.0.2.9,network=web'), { ip: '192.0.2.9', network: 'web' });
  t.strictSame(parseStaticPeer('2001:db8::9,mac=02:00:00:00:00:01,network=web,mac=02:00:00:00:00:02'), {
    ip: '2001:db8::9',
    network: 'web',
    macs: ['02:00:00:00:00:01', '02:00:00:00:00:02'],
  });
  t.throws(() => parseStaticPeer('192.0.2.9'), /"network" is missing/);
  t.throws(() => parseStaticPeer('network=web'), /does not start with an IP address/);
  t.throws(() => parseStaticPeer('192.0.2.9,netwrok=web'), /did you mean "network"/);
  t.throws(() => parseStaticPeer('192.0.2.9,network=a,network=b'), /given twice/);
});
