/** packaging/overlayd.yaml is current, has every key, and each example in it is one that the daemon takes (issue 5.7). */
import tap from 'tap';
import { parseConfigFile } from '../../../agent/config/file.ts';
import { OPTIONS } from '../../../agent/config/options.ts';
import { renderReference } from '../../../agent/config/reference.ts';
import { networkSchema, staticPeerSchema } from '../../../agent/config/schema.ts';
import { golden } from '../golden.ts';

const text = renderReference();

void tap.test('5.7 the file that is shipped is what the schema says', async (t) => {
  t.equal(golden('packaging/overlayd.yaml', text), text, 'UPDATE_GOLDEN=1 writes it anew');
});

void tap.test('5.7 as it is, it changes nothing', async (t) => {
  t.strictSame(parseConfigFile(text, 'overlayd.yaml').values, {});
});

void tap.test(
  '5.7 with every comment sign before a key taken away, it is a configuration with every key',
  async (t) => {
    const uncommented = text.replaceAll(/^#(?! [^ ])/gm, '');
    const { values } = parseConfigFile(uncommented, 'overlayd.yaml');
    t.strictSame(Object.keys(values).sort(), OPTIONS.map(({ key }) => key).sort());
    t.strictSame(Object.keys(values.networks?.[0] ?? {}).sort(), Object.keys(networkSchema.shape).sort());
    t.strictSame(
      Object.keys(values['static-peers']?.[0] ?? {}).sort(),
      Object.keys(staticPeerSchema.shape).sort(),
    );
  },
);

void tap.test('5.7 each key says its default and whether it can be reloaded', async (t) => {
  for (const { key, flag, reloadable } of OPTIONS) {
    const at = text.indexOf(`\n# ${key}: `);
    const block = text.slice(at, text.indexOf('\n\n', at + 1)).replaceAll('\n# ', ' ');
    t.ok(at >= 0, key);
    t.match(
      block,
      new RegExp(`default: .+ · ${reloadable === true ? 'reload' : 'restart'} · --${flag}\\b`),
      key,
    );
  }
});
