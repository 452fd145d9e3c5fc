// Builds and drives the preload libraries: at which storage call a process dies, and what the disk has after a power cut.
// What they do is told in kill_preload.c and power_preload.c.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.resolve(here, '../..');
export const built = path.join(root, 'build/tests/faults');

// Compiles what is older than its sources; renamed into place, so that tests may run side by side.
export function compile(name, sources, options = []) {
  const target = path.join(built, name);
  const files = [...sources, 'preload.h'].map((source) => path.join(here, source));
  const newest = Math.max(...files.map((file) => fs.statSync(file).mtimeMs));
  if (fs.existsSync(target) && fs.statSync(target).mtimeMs > newest) return target;
  fs.mkdirSync(built, { recursive: true });
  const draft = `${target}.${process.pid}`;
  const flags = ['-std=c17', '-D_GNU_SOURCE', '-O2', '-g', '-Wall', '-Wextra', '-Werror', '-pthread'];
  execFileSync('cc', [...flags, '-o', draft, ...files.slice(0, -1), ...options], { stdio: 'inherit' });
  fs.renameSync(draft, target);
  return target;
}

const libraries = { kill: ['kill_preload.c'], power: ['kill_preload.c', 'power_preload.c'] };

// 'address', 'thread' or null. Compiled into the program by clang, or a library of its own by gcc.
export function sanitizerOf(binary) {
  const bytes = fs.readFileSync(binary);
  if (bytes.includes('__tsan_init')) return 'thread';
  return bytes.includes('__asan_init') ? 'address' : null;
}

// A sanitizer's runtime that is a library must come before any other one, or it refuses to start.
export function runtimeOf(binary) {
  if (sanitizerOf(binary) === null) return [];
  const libraries = execFileSync('ldd', [binary], { encoding: 'utf8' });
  return [...libraries.matchAll(/=> (\S*\/lib(?:asan|tsan)\.so\S*)/g)].map((match) => match[1]);
}

// The environment in which `binary` dies at its at-th storage call (0: never), `when` that is 'before' or 'after' it was made.
// mode 'power' also keeps the shadow; `keep` is the seed of the coin that unsynced sectors hang on, 0 loses them all.
export function preload({ mode, binary, store, at = 0, when = 'before', keep = 0 }) {
  const library = compile(`${mode}_preload.so`, libraries[mode], ['-fPIC', '-shared']);
  const counter = `${store}.calls`;
  fs.writeFileSync(counter, Buffer.alloc(8));
  const environment = {
    LD_PRELOAD: [...runtimeOf(binary), library].join(' '),
    HOOKLATCH_STORE: store,
    HOOKLATCH_KILL_AT: String(at),
    HOOKLATCH_KILL_WHEN: when,
    HOOKLATCH_KILL_COUNT: counter,
  };
  if (mode === 'power') {
    fs.mkdirSync(shadowOf(store), { recursive: true });
    environment.HOOKLATCH_SHADOW = shadowOf(store);
    environment.HOOKLATCH_POWER_KEEP = String(keep);
  }
  return environment;
}

// Storage calls begun in this life so far.
export function storageCalls(store) {
  return Number(fs.readFileSync(`${store}.calls`).readBigUInt64LE());
}

function shadowOf(store) {
  return path.join(path.dirname(store), 'disk');
}

// After the process died: the files become what the disk has. A real cut leaves anything in -shm; both ends are tried.
export function cutPower(store, { keepShm }) {
  for (const file of [store, `${store}-wal`]) {
    const shadow = path.join(shadowOf(store), path.basename(file));
    if (fs.existsSync(shadow)) fs.renameSync(shadow, file);
    else fs.rmSync(file, { force: true });
  }
  if (!keepShm) fs.rmSync(`${store}-shm`, { force: true });
}

// Seeded chance (mulberry32): below(n) is 0 … n-1.
export function chance(seed) {
  let state = seed >>> 0;
  const below = (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
  return { below, oneIn: (n) => below(n) === 0 };
}

// The rows of a query as arrays of text; the sqlite3 shell only reads.
export function query(database, sql) {
  const rows = execFileSync('sqlite3', ['-readonly', '-cmd', '.timeout 5000', '-separator', '\x1f', database, sql], {
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
  });
  return rows.split('\n').slice(0, -1).map((row) => row.split('\x1f'));
}
