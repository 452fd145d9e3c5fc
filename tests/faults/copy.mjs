// A copy of a store in a folder of its own: laid down, damaged, recovered and looked at, as often as wanted. `hooklatch migrate` begins as
// `serve` does (lock, WAL, open, checkpoint), in some milliseconds.
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { BINARY, patience } from '../system/hook.mjs';

const run = promisify(execFile);
const ENDINGS = ['', '-wal', '-shm', '.suspect'];

// The bytes of a store's files; -shm is memory.
export function take(store) {
  const read = (ending) => (fs.existsSync(store + ending) ? fs.readFileSync(store + ending) : null);
  return { database: read(''), wal: read('-wal') };
}

// Puts them where a store is; what else lay there goes. The lock file knows how far the store had come.
export function lay(store, { database, wal }, { keepLock = false } = {}) {
  for (const ending of [...ENDINGS, ...(keepLock ? [] : ['.lock'])]) fs.rmSync(store + ending, { force: true });
  for (const name of fs.readdirSync(path.dirname(store))) if (name.includes('.before-')) fs.rmSync(path.join(path.dirname(store), name));
  if (database) fs.writeFileSync(store, database, { mode: 0o640 });
  if (wal) fs.writeFileSync(`${store}-wal`, wal, { mode: 0o640 });
}

// In memory where that is possible: the damage is done to bytes, and a sync more or less says nothing here.
const ROOM = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();

export class Copy {
  constructor(t) {
    this.dir = fs.realpathSync(fs.mkdtempSync(path.join(ROOM, 'hooklatch-copy-')));
    t.after(() => fs.rmSync(this.dir, { recursive: true, force: true }));
    this.store = path.join(this.dir, 'hooklatch.db');
    this.config = path.join(this.dir, 'hooklatch.yaml');
    this.env = {}; // more environment for its commands
    fs.writeFileSync(this.config, 'listen: [ http: "127.0.0.1:0" ]\nstore: sqlite:hooklatch.db\nsources: {}\nhandlers: {}\n');
  }

  lay(files) {
    lay(this.store, files);
  }

  take() {
    return take(this.store);
  }

  // Runs a command on it: { code, words, ms }. One that does not end, such as a `serve` that should have been refused, is ended.
  async command(...args) {
    const env = { ...process.env, ...this.env };
    const begun = performance.now();
    const { code, words } = await run(BINARY, [...args, '-c', this.config], { timeout: 5000 * patience, env }).then(
      ({ stdout, stderr }) => ({ code: 0, words: stdout + stderr }),
      (error) => ({ code: error.code ?? error.signal, words: `${error.stdout}${error.stderr}` }),
    );
    return { code, words, ms: performance.now() - begun };
  }

  recover() {
    return this.command('migrate');
  }

  // The events in it, in the order of arrival; whether the file is sound; whether the ledger tells of every delivery.
  async look() {
    const sql = `select event_id from events order by seq;
      select '.' || integrity_check from pragma_integrity_check;
      select '.' || ((select count(*) from delivery) = (select coalesce(sum(count), 0) from ledger where state = 5))`;
    const { stdout } = await run('sqlite3', ['-readonly', this.store, sql]).catch((error) => ({ stdout: `.${error.message}\n` }));
    const lines = stdout.trim().split('\n');
    const told = lines.filter((line) => line.startsWith('.'));
    return { ids: lines.filter((line) => line !== '' && !line.startsWith('.')), sound: told.join(' ') === '.ok .1', told: told.join(' ') };
  }
}
