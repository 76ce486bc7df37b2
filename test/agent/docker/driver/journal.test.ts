/** The table on disk when the disk is full: nothing of what failed is in it, and all of what did not. */
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tap from 'tap';
import type { Test } from 'tap';
import { Journal } from '../../../../agent/docker/driver/journal.ts';

function fileOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'ovd-journal-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return join(folder, 'docker.jsonl');
}

/** What the next run finds. */
function found(path: string): string[] {
  const journal = new Journal(path);
  const keys = Array.from(journal.entries(), ([, key]) => key);
  journal.close();
  return keys;
}

void tap.test('5.3: of a line that did not fit nothing stays, and the next one is read again', (t) => {
  const path = fileOf(t);
  let room = 1000;
  const journal = new Journal(path, (fd, text) => {
    writeFileSync(fd, text.slice(0, room));
    if (text.length > room) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  });
  journal.put('pool', 'a', 1);
  room = 5;
  t.throws(() => journal.put('pool', 'b', 2), { message: /no space left/ });
  room = 1000;
  journal.put('pool', 'c', 3);
  journal.close();
  t.throws(() => journal.put('pool', 'd', 4), { code: 'OVL_STATE_DIR' }, 'the next run has the file');
  t.strictSame(found(path), ['a', 'c']);
  t.end();
});

void tap.test('5.3: while the file cannot be shortened it grows, and nothing is lost', (t) => {
  const path = fileOf(t);
  const journal = new Journal(path);
  // Where the shorter file would be written.
  mkdirSync(`${path}.new`);
  const write = (first: number): void => {
    for (let i = first; i < first + 1000; i++) journal.put('pool', 'same', i);
  };
  write(0);
  rmdirSync(`${path}.new`);
  write(1000);
  journal.put('pool', 'last', 0);
  journal.close();
  t.strictSame(found(path), ['same', 'last']);
  t.end();
});
