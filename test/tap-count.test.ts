import tap from 'tap';
import { countTap } from './tap-count.ts';

const STREAM = `TAP version 14
1..4
# Subtest: build/test/a.test.js
    # Subtest: outer
        ok 1 - equal
        not ok 2 - x \\# y
          ---
          diff: |
            ok 9 - not a test point
            ---
          ...

        ok 3 - inner # SKIP no root
        1..3
    not ok 1 - outer # time=39.007ms
      ---
      at:
        fileName: test/a.test.ts
      ...

    # Subtest: empty
        1..0
    ok 2 - empty # time=5.25ms
    ok 3 - later # TODO
    1..3
not ok 1 - build/test/a.test.js # time=86.5ms
# Subtest: build/test/b.test.js
    1..0 # not here
ok 2 - build/test/b.test.js # SKIP not here
# Subtest: build/test/c.test.js
    ok 1 - one
    1..1
not ok 3 - build/test/c.test.js # time=111.818ms
  ---
  exitCode: 3
  ...

# Subtest: build/test/d.test.js
    ok 1 - fine
    1..1
ok 4 - build/test/d.test.js # time=1ms
`;

void tap.test('leaves are counted, parents only when nothing below explains their failure', async (t) => {
  const count = countTap(STREAM);
  t.equal(count.passed, 4, 'equal, empty, one and fine');
  t.equal(count.failed, 2, 'the assertion, and the file that exited 3');
  t.match(count.failures[0], /^build\/test\/a\.test\.js > outer > x/, 'named by its parents');
  t.match(count.failures[1], /c\.test\.js[^]*exitCode: 3/, 'with its diagnostic');
  t.equal(count.skipped, 3, 'a test, a TODO and a whole file');
  t.ok(count.complete, 'as many files as planned');
});

void tap.test('a stream cut short or empty is not complete', async (t) => {
  t.notOk(countTap(STREAM.slice(0, STREAM.indexOf('# Subtest: build/test/d'))).complete, 'a file is missing');
  t.notOk(countTap('').complete, 'nothing at all');
  t.notOk(countTap('TAP version 14\n1..0\n').complete, 'no test found');
});
