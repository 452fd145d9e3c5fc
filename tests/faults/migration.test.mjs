// A store of the first schema version becomes one of the newest. Whatever cuts that off, and wherever, the next start finishes it; every row is
// there, and so is a sound copy of how it was before.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { assertAnswer, github, prepare, recorder, serve, spread } from '../system/hook.mjs';
import { Copy, lay, take } from './copy.mjs';
import { score, share } from './matrix.mjs';
import { chance, cutPower, preload, query, root, storageCalls } from './preload.mjs';
import { binary } from './service.mjs';

const MIGRATIONS = fs.readdirSync(path.join(root, 'migrations')).filter((name) => name.endsWith('.sql')).sort();
const NEWEST = MIGRATIONS.length;
const FIRST = path.join(root, 'migrations', MIGRATIONS[0]);
const config = { sources: { github } };

const shell = (file, ...lines) => execFileSync('sqlite3', ['-batch', '-bail', file], { input: lines.join('\n'), encoding: 'utf8', maxBuffer: 1 << 28 });

// The tables of the first version in this file, and what they hold that no migration may change.
const tablesOf = (file) => query(file, "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by name").map(([name]) => name);
const columnsOf = (file, table) => query(file, `select name from pragma_table_info('${table}') order by cid`).map(([name]) => name);

// The rows of these tables, each under its name; after them whether the file is sound, and the versions.
function tellOf(file, tables) {
  const rows = tables.flatMap(([table, columns]) => [`.print <${table}>`, `select ${columns.join(', ')} from ${table} order by ${columns.map((_, n) => n + 1)};`]);
  const told = shell(file, '.mode quote', ...rows, '.print <end>', 'select integrity_check from pragma_integrity_check;', 'select version from schema_migrations order by 1;');
  const [rest, end] = told.split('<end>\n');
  const [sound, ...versions] = end.trim().split('\n');
  return { rows: rest.split(/^(?=<\w+>$)/m), sound, versions: versions.join() };
}

// What a service of the first version would have left when it was killed: the tables of that version with the rows of a real store, the last
// of them in the log alone. { files, tables, rows, hook }
let made = null;
const firstVersion = (t) => (made ??= makeFirstVersion(t, 24)); // one for all tests: its files are bytes

async function makeFirstVersion(t, events) {
  const handlers = { note: { on: ['github/*'], log: {} }, bad: recorder({ on: ['github/push'], then: 'exit 65' }) };
  const hook = await serve(t, { ...config, handlers });
  const body = { pad: 'x'.repeat(1500) };
  for (let n = 0; n < events; n++) assertAnswer(await hook.send('github', { id: `e${n}`, type: n % 4 === 0 ? 'push' : 'issues', body }), 'accepted');
  await hook.idle();
  await hook.stop();
  const copy = new Copy(t);
  shell(copy.store, 'pragma journal_mode = wal;', `.read ${FIRST}`, 'pragma application_id = 0x686c6368;',
    `insert into schema_migrations values (1, '${path.basename(FIRST, '.sql')}', '2026-01-01T00:00:00.000000Z');`);
  const tables = tablesOf(copy.store).filter((table) => table !== 'schema_migrations').map((table) => [table, columnsOf(copy.store, table)]);
  shell(copy.store, '.dbconfig no_ckpt_on_close on', `attach '${hook.database}' as newest;`, 'begin;',
    ...tables.map(([table, columns]) => `insert into ${table} (${columns.join(', ')}) select ${columns.join(', ')} from newest.${table};`), 'commit;');
  const files = copy.take();
  assert.ok(files.wal?.length > 32, 'the rows are in the log');
  return { handlers, files, tables, rows: tellOf(copy.store, tables).rows };
}

// The copy that a migration makes first, and what it may be called until it is whole.
const copyOf = (store) => `${store}.before-0002`;
const copyAtWork = (store) => [copyOf(store), `${copyOf(store)}.incomplete`];
const theStore = (store) => [store];

// What is wrong with a store that was migrated, if anything.
function faults(copy, { tables, rows }) {
  const wrong = [];
  const same = (file, what, wanted) => {
    const now = tellOf(file, tables);
    tables.forEach(([table], n) => now.rows[n] === rows[n] || wrong.push(`${what}: ${table} has other rows`));
    if (now.sound !== "'ok'") wrong.push(`${what}: ${now.sound}`);
    if (now.versions !== wanted) wrong.push(`${what}: versions ${now.versions}`);
  };
  same(copy.store, 'the store', MIGRATIONS.map((_, n) => n + 1).join());
  if (!fs.existsSync(copyOf(copy.store))) return [...wrong, 'no copy of how it was before'];
  same(copyOf(copy.store), 'the copy', '1');
  return wrong;
}

// Cuts a migration off at chosen storage calls on the `watched` file, the first of those named that is written to, then lets it go through:
// [points, wrong].
async function cutOff(t, first, { mode, watched, points, nested = false }) {
  const copy = new Copy(t);
  const dice = chance(51);
  const wrong = [];
  let target;
  const begin = async (at, when, keep) => {
    copy.env = preload({ mode, binary, store: target, at, when, keep });
    const result = await copy.command('migrate');
    copy.env = {};
    return result;
  };
  const power = () => {
    if (mode === 'power') cutPower(target, { keepShm: dice.oneIn(2) });
  };
  const fresh = () => {
    copy.lay(first.files);
    fs.rmSync(path.join(copy.dir, 'disk'), { recursive: true, force: true });
  };
  let calls = 0;
  for (target of watched(copy.store)) {
    fresh();
    const whole = await begin(0);
    assert.equal(whole.code, 0, whole.words);
    assert.deepEqual(faults(copy, first), []);
    calls = storageCalls(target);
    if (calls > 0) break;
  }
  assert.ok(calls > 2, `${calls} calls on ${target}`);
  const tried = Math.min(points, 2 * calls);
  for (let n = 0; n < tried; n++) {
    fresh();
    const at = 1 + Math.floor((n * calls) / tried);
    const when = dice.oneIn(2) ? 'before' : 'after';
    const what = `${mode} ${when} call ${at} of ${calls} on ${path.basename(target)}`;
    const keep = () => (dice.oneIn(2) ? 0 : 1 + dice.below(2 ** 31));
    const { code, words } = await begin(at, when, keep());
    if (code !== 'SIGKILL') wrong.push(`${what}: it ended with ${code} ${words}`);
    power();
    if (nested) {
      await begin(1 + dice.below(calls), 'before', keep());
      power();
    }
    const after = await copy.command('migrate');
    if (after.code !== 0) wrong.push(`${what}: the next start is refused, ${after.words.trim().split('\n').at(-1)}`);
    else for (const line of faults(copy, first)) wrong.push(`${what}: ${line}`);
  }
  return [tried, wrong];
}

describe('a store of the first version', { timeout: 300_000, concurrency: 2 }, () => {
  for (const mode of ['kill', 'power']) {
    it(`row 51: cut off by a ${mode} at any write or sync of the store, its migrations are finished by the next start`, async (t) => {
      const first = await firstVersion(t);
      const [points, wrong] = await cutOff(t, first, { mode, watched: theStore, points: share(80, 24) });
      for (const line of wrong.slice(0, 10)) t.diagnostic(line);
      score(t, 51, { cases: points, corrupt: wrong.length });
      assert.deepEqual(wrong, []);
    });

    it(`row 51: cut off by a ${mode} at any write or sync of the copy that is made before, that copy is made anew`, async (t) => {
      const first = await firstVersion(t);
      const [points, wrong] = await cutOff(t, first, { mode, watched: copyAtWork, points: share(40, 12) });
      for (const line of wrong.slice(0, 10)) t.diagnostic(line);
      score(t, 51, { cases: points, corrupt: wrong.length });
      assert.deepEqual(wrong, []);
    });
  }

  it('rows 4, 51: cut off again in the start after that, they are finished by the one after', async (t) => {
    const first = await firstVersion(t);
    const [points, wrong] = await cutOff(t, first, { mode: 'power', watched: theStore, points: share(50, 12), nested: true });
    for (const line of wrong.slice(0, 10)) t.diagnostic(line);
    score(t, 4, { cases: points, corrupt: wrong.length });
    score(t, 51, { cases: points, corrupt: wrong.length });
    assert.deepEqual(wrong, []);
  });

  it('row 51: the service migrates it at its start, knows what was stored, and goes on with it', async (t) => {
    const { files, handlers } = await firstVersion(t);
    const hook = await prepare(t, { ...config, handlers });
    lay(hook.database, files);
    const since = hook.log.length;
    const begun = performance.now();
    await hook.start();
    const seconds = (performance.now() - begun) / 1000;
    assert.ok(hook.log.slice(since).some(({ event }) => event === 'store.migrated') || NEWEST === 1, 'it says so');
    const answers = await spread(Array.from({ length: 24 }, (_, n) => `e${n}`), 4, (id) => hook.send('github', { id }));
    const lost = answers.filter(({ result }) => !['duplicate', 'revived'].includes(result)).length;
    assertAnswer(await hook.send('github', { id: 'new' }), 'accepted');
    await hook.idle();
    assert.equal(await hook.count('events'), 25);
    const copy = take(copyOf(hook.database));
    await hook.restart();
    assert.ok(take(copyOf(hook.database)).database.equals(copy.database), 'the copy is made once');
    const open = fs.statSync(copyOf(hook.database)).mode & 0o007;
    score(t, 51, { cases: 1, lost, unexpected: open ? 1 : 0, seconds });
    assert.equal(lost, 0);
    assert.equal(open, 0, 'anybody may read the copy, which holds what the events hold');
  });
});
