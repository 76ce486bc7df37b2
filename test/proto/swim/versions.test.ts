import t from 'tap';
import {
  delegateVersionBeside,
  normalVersions,
  speaksOurs,
  versionConflict,
} from '../../../proto/swim/versions.ts';
import type { VersionHolder } from '../../../proto/swim/versions.ts';

const node = (name: string, vsn: number[], isAlive = true): VersionHolder => ({
  name,
  isAlive,
  vsn: Uint8Array.from(vsn),
});
const OURS = node('ours', [1, 5, 2, 0, 255, 0]);
const OURS_IN_SERF = node('ours', [1, 5, 2, 0, 255, 4]);
const PLAIN = node('plain', [1, 5, 2, 0, 0, 0]);
const SERF = node('serf', [1, 5, 2, 2, 5, 4]);

void t.test('who can be one cluster', (test) => {
  test.equal(versionConflict([OURS, PLAIN]), undefined);
  test.equal(versionConflict([OURS, SERF]), undefined, 'ours will follow');
  test.match(versionConflict([PLAIN, SERF]), /delegate version of plain/);
  test.match(versionConflict([PLAIN, OURS, SERF]), /delegate version/);
  test.match(versionConflict([PLAIN, node('gone', [1, 5, 2, 0, 9, 9], false)]), /gone/, 'the dead count too');
  test.equal(
    versionConflict([PLAIN, node('gone', [1, 5, 2, 9, 9, 0], false)]),
    undefined,
    'but not for the range',
  );
  test.end();
});

void t.test('which delegate version to speak', (test) => {
  test.equal(delegateVersionBeside(0, [OURS, SERF]), 4);
  test.equal(delegateVersionBeside(0, [OURS, PLAIN]), 0);
  test.equal(delegateVersionBeside(4, [OURS_IN_SERF, SERF]), 4);
  test.equal(delegateVersionBeside(4, [PLAIN]), 0, 'a plain cluster is followed as well');
  test.equal(delegateVersionBeside(3, [SERF]), 3, 'what fits stays');
  test.equal(
    delegateVersionBeside(0, [node('serf', SERF.vsn as unknown as number[], false)]),
    0,
    'the dead rule nothing',
  );
  test.equal(delegateVersionBeside(7, [PLAIN, SERF]), 7, 'no version can serve both');
  test.end();
});

void t.test('vsn fields as they come', (test) => {
  test.same(normalVersions(null), Uint8Array.of(0, 0, 0, 0, 0, 0));
  test.same(normalVersions(Uint8Array.of(1, 5, 2)), Uint8Array.of(1, 5, 2, 0, 0, 0));
  test.same(normalVersions(new Uint8Array(9).fill(7)), new Uint8Array(6).fill(7));
  const speaks = (protocol: readonly number[]): boolean =>
    speaksOurs(Uint8Array.from([...protocol, 0, 0, 0]));
  test.ok(speaks([1, 5, 2]));
  test.ok(speaks([2, 2, 2]));
  test.ok(speaks([1, 2, 1]), 'what is older, as long as it takes ours');
  test.ok(speaks([2, 9, 5]));
  const others = '0,0,0 1,1,1 3,5,3 5,5,5 1,5,6 1,5,0 3,2,2 1,0,2'.split(' ');
  for (const other of others) test.notOk(speaks(other.split(',').map(Number)), other);
  test.notOk(speaksOurs(null));
  test.notOk(speaksOurs(Uint8Array.of(1, 5, 2)));
  test.end();
});
