// What is no store of ours, or cannot be written, or would not be durable: the start is refused with the reason, or warns; nothing is
// overwritten, and what was stored before is there when it is put right.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { assertAnswer, github, prepare, serve, spread } from '../system/hook.mjs';
import { Copy, lay, take } from './copy.mjs';
import { Disk } from './disk.mjs';
import { UNDER_TRACE, from } from './disturbance.mjs';
import { score, share } from './matrix.mjs';
import { chance } from './preload.mjs';

const config = { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } };
const NOBODY = 65534;
const ROOT = process.getuid() === 0;

// Modes and owners bind everybody but root: as root the service runs as somebody else, from a copy of the program that it may read.
async function prepareUnprivileged(t, more = {}) {
  const hook = await prepare(t, { ...config, ...more });
  if (!ROOT) return hook;
  fs.copyFileSync(hook.binary, hook.path('hooklatch'));
  fs.chmodSync(hook.path('hooklatch'), 0o755);
  hook.binary = hook.path('hooklatch');
  hook.wrap = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, hook.dir]);
  return hook;
}

// A store with some events, as a stop leaves it, but its log still full.
async function sample(t, count = 30) {
  const hook = await serve(t, config);
  for (let n = 0; n < count; n++) assertAnswer(await hook.send('github', { id: `e${n}`, body: { pad: 'x'.repeat(3000) } }), 'accepted');
  await hook.idle();
  await hook.stop();
  return { hook, files: { database: take(hook.database).database, wal: null } };
}

const sql = (file, statement) => execFileSync('sqlite3', [file, statement], { stdio: 'pipe' });

// What a database holds, whatever its pages are.
const content = (file) => execFileSync('sqlite3', ['-readonly', file, '.dump'], { stdio: 'pipe', maxBuffer: 1 << 28 });

// The same pages, changed by a statement.
function changed(copy, files, statement) {
  copy.lay(files);
  sql(copy.store, `${statement}; pragma wal_checkpoint(truncate)`);
  return { database: copy.take().database, wal: null };
}

describe('what is no good store', { timeout: 300_000, concurrency: 2 }, () => {
  it('row 20: garbage, what is cut, newer or foreign is refused by every command, is left as it is, and a way on is told', async (t) => {
    const { files } = await sample(t);
    const { database } = files;
    const copy = new Copy(t);
    const dice = chance(20);
    const cut = (size) => ({ database: database.subarray(0, size), wal: null });
    const bytes = (make) => ({ database: make(Buffer.from(database)), wal: null });
    const restore = /[Rr]estore a backup/;
    // What it is, its files, the way on that the words must tell. Whole: as a database it is sound and may be copied. Loose: ours, and of
    // this version; then a start may write to it what changes nothing.
    const cases = [
      ['text', { database: Buffer.from('this is no database, but somebody may want it\n'.repeat(200)) }, restore],
      ['ten bytes', cut(10), restore],
      ['zeros', bytes((all) => all.fill(0)), restore],
      ['noise', bytes((all) => all.map(() => dice.below(256))), restore],
      ['a header of noise', bytes((all) => (all.fill(0xa5, 0, 100), all)), restore],
      ['a first page of zeros', bytes((all) => (all.fill(0, 0, 4096), all)), restore],
      ['the first page alone', cut(4096), restore],
      ...share([1, 2, 3, 5, 8, 13], [2]).map((part) => [`cut at ${part} of 16`, cut(Math.floor((database.length * part) / 16)), restore]),
      ['cut by one page', cut(database.length - 4096), restore],
      ['a table is gone', changed(copy, files, 'drop table delivery'), restore, { whole: true, loose: true }],
      ['the versions are gone', changed(copy, files, 'drop table schema_migrations'), restore, { whole: true, loose: true }],
      ['the application is another', changed(copy, files, 'pragma application_id = 1234'), /another program/, { whole: true }],
      ['the application is none', changed(copy, files, 'pragma application_id = 0'), /another program/, { whole: true }],
      ['the schema is newer', changed(copy, files, "insert into schema_migrations values (9999, '9999_later', '2099-01-01T00:00:00.000000Z')"), /newer hooklatch.*restore a backup/, { whole: true }],
    ];
    const wrong = [];
    const silent = [];
    for (const [name, broken, way, { whole = false, loose = false } = {}] of cases) {
      for (const command of [['migrate'], ['serve'], ['events', 'list'], ['stats'], ['backup', `${copy.store}.copy`], ['events', 'discard', '--all', '--yes']]) {
        if (command[0] !== 'migrate' && share(false, dice.oneIn(3))) continue;
        copy.lay(broken);
        const before = loose && content(copy.store);
        const { code, words } = await copy.command(...command);
        const what = `${name}, ${command.slice(0, 2).join(' ')}`;
        const writes = ['migrate', 'serve'].includes(command[0]);
        // whoever only reads may read what is left of it
        if (writes && code !== 1) wrong.push(`${what}: ${code} ${words}`);
        if (loose ? !content(copy.store).equals(before) : !copy.take().database.equals(broken.database)) wrong.push(`${what}: it was written to`);
        if (fs.existsSync(`${copy.store}.copy`)) {
          if (!whole) wrong.push(`${what}: copied all the same`);
          fs.rmSync(`${copy.store}.copy`);
        }
        if (writes && !way.test(words)) silent.push(`${what}: ${words.trim().split('\n').at(-1)}`);
      }
    }
    for (const line of [...wrong, ...silent]) t.diagnostic(line);
    score(t, 20, { cases: cases.length, corrupt: wrong.length, unexpected: silent.length });
    assert.deepEqual([wrong, silent], [[], []]);
  });

  it('row 20: a backup in the place of what was refused is all that is needed', async (t) => {
    const { hook, files } = await sample(t, 5);
    await hook.ok('backup', hook.path('backup.db'));
    lay(hook.database, { database: files.database.subarray(0, 9000) });
    const { code } = await hook.startFails();
    assert.equal(code, 1);
    const begun = performance.now();
    lay(hook.database, { database: fs.readFileSync(hook.path('backup.db')) });
    await hook.start();
    const seconds = (performance.now() - begun) / 1000;
    let lost = 0;
    for (let n = 0; n < 5; n++) if ((await hook.send('github', { id: `e${n}` })).result !== 'duplicate') lost++;
    score(t, 20, { cases: 1, lost, seconds });
    assert.equal(lost, 0);
  });

  it('row 20: an empty file in the place of a store is told for what it is', async (t) => {
    const { hook } = await sample(t, 5);
    lay(hook.database, { database: Buffer.alloc(0) }, { keepLock: true });
    await hook.start();
    const told = hook.log.find(({ event }) => event === 'store.older');
    score(t, 20, { cases: 1, unexpected: told?.missing === 5 ? 0 : 1 });
    assert.equal(told?.missing, 5);
  });

  it('row 19: a store that the service may not write, or whose files are somebody else’s, is refused with the reason', async (t) => {
    const hook = await prepareUnprivileged(t);
    await hook.start();
    for (let n = 0; n < 5; n++) assertAnswer(await hook.send('github', { id: `e${n}` }), 'accepted');
    await hook.idle();
    await hook.kill();
    const before = take(hook.database);
    const mode = (ending, bits) => {
      const file = hook.database + ending;
      const { mode: old } = fs.statSync(file);
      fs.chmodSync(file, bits);
      return () => fs.chmodSync(file, old);
    };
    const owner = (ending) => {
      const file = hook.database + ending;
      fs.chownSync(file, 0, 0);
      fs.chmodSync(file, 0o600);
      return () => (fs.chownSync(file, NOBODY, NOBODY), fs.chmodSync(file, 0o640));
    };
    const cases = [
      ['the database is read-only', () => mode('', 0o400), /hooklatch\.db\b.*(read-?only|[Pp]ermission)/],
      ['the database cannot be read', () => mode('', 0o000), /hooklatch\.db\b.*(open|[Pp]ermission)/],
      ['the log is read-only', () => mode('-wal', 0o400), /hooklatch\.db-wal\b.*[Pp]ermission/],
      ['the lock file is read-only', () => mode('.lock', 0o400), /hooklatch\.db\.lock\b.*[Pp]ermission/],
      ['-shm is read-only', () => mode('-shm', 0o400), /hooklatch\.db\b.*(read-?only|[Pp]ermission|open)/],
      ['nothing can be made in the directory', () => (fs.rmSync(`${hook.database}.lock`), fs.chmodSync(hook.dir, 0o555), () => fs.chmodSync(hook.dir, 0o755)), /hooklatch\.db\.lock\b.*[Pp]ermission/],
      ...(ROOT ? ['', '-wal', '-shm', '.lock'].map((ending) => [`root owns hooklatch.db${ending}`, () => owner(ending), /hooklatch\.db\b.*(read-?only|[Pp]ermission|open)/]) : []),
    ];
    const wrong = [];
    for (const [name, hurt, reason] of cases) {
      const mend = hurt();
      const error = await hook.start().then(() => null, (caught) => caught);
      mend();
      if (error === null) {
        wrong.push(`${name}: it starts`);
        await hook.kill();
        lay(hook.database, before);
        execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, hook.dir]);
        await hook.start();
        await hook.kill();
        continue;
      }
      if (error.death?.code !== 1 || !reason.test(error.words)) wrong.push(`${name}: ${JSON.stringify(error.death)} ${error.words}`);
      const after = take(hook.database);
      if (!after.database.equals(before.database) || !after.wal.equals(before.wal)) wrong.push(`${name}: it was written to`);
    }
    for (const line of wrong) t.diagnostic(line);
    hook.noise.length = 0;
    await hook.start();
    let lost = 0;
    for (let n = 0; n < 5; n++) if ((await hook.send('github', { id: `e${n}` })).result !== 'duplicate') lost++;
    await hook.stop();
    if (ROOT) hook.wrap = [];
    score(t, 19, { cases: cases.length, lost, unexpected: wrong.length });
    assert.deepEqual([lost, wrong], [0, []]);
  });

  it('row 19: a store in no directory, or in a directory’s place, is refused with the reason', async (t) => {
    const wrong = [];
    for (const [store, make] of [
      ['nowhere/hooklatch.db', () => {}],
      ['place', (hook) => fs.mkdirSync(hook.path('place'))],
      ['pipe', (hook) => execFileSync('mkfifo', [hook.path('pipe')])],
      ['link', (hook) => fs.symlinkSync('/nowhere/hooklatch.db', hook.path('link'))],
    ]) {
      const hook = await prepare(t, { ...config, store: `sqlite:${store}` });
      make(hook);
      const error = await hook.start().then(() => null, (caught) => caught);
      if (error === null) {
        wrong.push(`${store}: it starts`);
        hook.mortal = true;
        await hook.kill();
      } else if (error.death?.code !== 1 || !error.words.includes(store.split('/')[0])) wrong.push(`${store}: ${error.words}`);
    }
    for (const line of wrong) t.diagnostic(line);
    score(t, 19, { cases: 4, unexpected: wrong.length });
    assert.deepEqual(wrong, []);
  });

  it('row 19: on a disk that is mounted read-only it is refused with the reason, and goes on when that is over', async (t) => {
    const hook = await prepare(t, config);
    const disk = new Disk(t, 'tmpfs', 16);
    await hook.configure({ store: `sqlite:${disk.path('hooklatch.db')}` });
    Object.defineProperty(hook, 'database', { value: disk.path('hooklatch.db') });
    await hook.start();
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    await hook.idle();
    await hook.kill();
    execFileSync('mount', ['-o', 'remount,ro', disk.at]);
    const { code, words } = await hook.startFails();
    assert.equal(code, 1);
    assert.match(words, /[Rr]ead-only/);
    execFileSync('mount', ['-o', 'remount,rw', disk.at]);
    await hook.start();
    assertAnswer(await hook.send('github', { id: 'a' }), 'duplicate');
    score(t, 19, { cases: 1 });
  });

  it('row 19: memory is warned of, a network is refused, and an ordinary disk is neither', async (t) => {
    const kinds = share((all) => all, (all) => all.slice(0, 4))([
      ['ext4', '53ef000000000000', null],
      ['nfs', '6969000000000000', 'refused'],
      ['tmpfs', '9419020100000000', 'warned'],
      ['smb2', '424d53fe00000000', 'refused'],
      ['ramfs', 'f658848500000000', 'warned'],
      ['smb', '7b51000000000000', 'refused'],
      ['cifs', '424d53ff00000000', 'refused'],
    ]);
    const wrong = [];
    await spread(kinds, 2, async ([name, magic, expected]) => {
      const hook = await prepare(t, { ...config, env: UNDER_TRACE });
      // what the kernel says the file system is, put in its mouth
      const wrap = from({ calls: 'statfs', how: `poke_exit=@arg2=${magic}` });
      const error = await hook.start({ wrap }).then(() => null, (caught) => caught);
      if (error && !error.death) throw error;
      const said = error ? (/network/.test(error.words) && error.death.code === 1 ? 'refused' : error.words) : hook.log.some(({ event, level }) => event === 'store.not_durable' && level === 'warn') ? 'warned' : null;
      if (said !== expected) wrong.push(`${name}: ${said}`);
      if (expected === 'refused' && fs.existsSync(hook.database)) wrong.push(`${name}: a store was made`);
    });
    for (const line of wrong) t.diagnostic(line);
    score(t, 19, { cases: kinds.length, unexpected: wrong.length });
    assert.deepEqual(wrong, []);
  });
});
