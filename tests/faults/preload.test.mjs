// Tries the preload libraries and their runner on the smallest program that promises durability (writer.c), so that a
// failure of the tests beside this one can be believed, and a pass too.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { chance, compile, cutPower, preload, query, storageCalls } from './preload.mjs';

const LIVES = 40;
const IDS_PER_LIFE = 100;
const seed = Number(process.env.HOOKLATCH_SEED ?? 1);

function scratch(t) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'hooklatch-preload-')));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return path.join(folder, 'store.db');
}

function writer(sanitizers) {
  const options = sanitizers === undefined ? [] : [`-fsanitize=${sanitizers}`];
  return compile(['writer', sanitizers].filter(Boolean).join('-').replace(',', '-'), ['writer.c'], [...options, '-lsqlite3']);
}

function live(binary, store, { mode, synchronous, acknowledge, first, at, when, keep }) {
  const life = spawnSync(binary, [store, synchronous, acknowledge, String(first), String(IDS_PER_LIFE)], {
    encoding: 'utf8',
    env: { ...process.env, ...preload({ mode, binary, store, at, when, keep }) },
  });
  assert.ok(life.status === 0 || life.signal === 'SIGKILL', `ended by ${life.signal ?? life.status}: ${life.stderr}`);
  assert.equal(life.signal === 'SIGKILL', at > 0 && storageCalls(store) >= at, 'it dies at the n-th call and only there');
  return life.stdout.split('\n').slice(0, -1).map(Number);
}

// Many lives over one store; what is acknowledged and missing afterwards, counted after each.
function crash(t, { mode, synchronous, acknowledge = 'after', binary = writer(), lives = LIVES, keepSome = false }) {
  const store = scratch(t);
  const dice = chance(seed);
  const acked = new Set();
  const lost = new Set();
  let first = 1;
  live(binary, store, { mode, synchronous, acknowledge, first, at: 0 }).forEach((id) => acked.add(id));
  const range = storageCalls(store);
  for (let i = 0; i < lives; i++) {
    first += IDS_PER_LIFE;
    const life = { mode, synchronous, acknowledge, first, at: 1 + dice.below(range) };
    life.when = i % 2 === 0 ? 'before' : 'after';
    life.keep = keepSome ? 1 + dice.below(2 ** 31) : 0;
    live(binary, store, life).forEach((id) => acked.add(id));
    if (mode === 'power') cutPower(store, { keepShm: i % 4 < 2 });
    assert.deepEqual(query(store, 'PRAGMA integrity_check'), [['ok']]);
    const stored = new Set(query(store, 'SELECT id FROM ids').map(([id]) => Number(id)));
    for (const id of acked) if (!stored.has(id)) lost.add(id);
  }
  t.diagnostic(`${lives} lives, ${acked.size} acknowledged, ${lost.size} lost`);
  return { acked: acked.size, lost: lost.size };
}

test('only calls on the database and its WAL are counted, and all of them', (t) => {
  const store = scratch(t);
  const binary = writer();
  const trace = `${store}.trace`;
  const environment = Object.entries(preload({ mode: 'kill', binary, store })).flatMap((pair) => ['-E', pair.join('=')]);
  const calls = 'write,writev,pwrite64,pwritev,ftruncate,fsync,fdatasync';
  execFileSync('strace', ['-f', '-y', '-e', `trace=${calls}`, '-o', trace, ...environment, binary, store, 'full', 'after', '1', '20']);
  const seen = fs.readFileSync(trace, 'utf8').match(/^\d+ +\w+\(\d+<[^>]*\/store\.db(-wal)?>/gm).length;
  assert.equal(storageCalls(store), seen + 1, 'strace sees the same, but for the unlink of the WAL when it closes');
});

test('the shadow of a life that ended well is the store, byte for byte', (t) => {
  const store = scratch(t);
  live(writer(), store, { mode: 'power', synchronous: 'full', acknowledge: 'after', first: 1, at: 0 });
  const file = fs.readFileSync(store);
  cutPower(store, { keepShm: false });
  assert.ok(file.equals(fs.readFileSync(store)));
  assert.deepEqual(fs.readdirSync(path.dirname(store)).sort(), ['disk', 'store.db', 'store.db.calls']);
});

test('a kill loses nothing that was acknowledged after its commit', (t) => {
  const { acked, lost } = crash(t, { mode: 'kill', synchronous: 'full' });
  assert.ok(acked > LIVES);
  assert.equal(lost, 0);
});

test('a kill loses nothing with synchronous=NORMAL either: the page cache outlives the process', (t) => {
  assert.equal(crash(t, { mode: 'kill', synchronous: 'normal' }).lost, 0);
});

test('a kill does lose what was acknowledged before its commit', (t) => {
  assert.ok(crash(t, { mode: 'kill', synchronous: 'full', acknowledge: 'before' }).lost > 0);
});

test('a power cut loses nothing with synchronous=FULL', (t) => {
  const { acked, lost } = crash(t, { mode: 'power', synchronous: 'full' });
  assert.ok(acked > LIVES);
  assert.equal(lost, 0);
});

test('a power cut that keeps any of the unsynced sectors loses nothing with synchronous=FULL', (t) => {
  assert.equal(crash(t, { mode: 'power', synchronous: 'full', keepSome: true }).lost, 0);
});

test('a power cut does lose acknowledged commits with synchronous=NORMAL', (t) => {
  assert.ok(crash(t, { mode: 'power', synchronous: 'normal' }).lost > 0);
});

test('without a sync the disk has nothing', (t) => {
  const store = scratch(t);
  const binary = writer();
  // the first sync of the store is that of the fresh database: die before it
  const trace = spawnSync('strace', ['-y', '-f', '-e', 'trace=pwrite64,ftruncate,fsync,fdatasync', binary, `${store}0`, 'full', 'after', '1', '1'], {
    encoding: 'utf8',
  }).stderr;
  const calls = trace.match(/(pwrite64|ftruncate|fsync|fdatasync)\(\d+<[^>]*\/store\.db0(-wal)?>/g);
  const at = calls.findIndex((call) => call.includes('sync')) + 1;
  live(binary, store, { mode: 'power', synchronous: 'full', acknowledge: 'after', first: 1, at });
  assert.ok(fs.statSync(store).size > 0 || at === 1);
  cutPower(store, { keepShm: false });
  assert.ok(!fs.existsSync(store) || fs.statSync(store).size === 0);
});

for (const sanitizers of ['address,undefined', 'thread']) {
  for (const mode of ['kill', 'power']) {
    test(`works in a program built with -fsanitize=${sanitizers}: ${mode}`, (t) => {
      assert.equal(crash(t, { mode, synchronous: 'full', binary: writer(sanitizers), lives: 8 }).lost, 0);
    });
  }
}
