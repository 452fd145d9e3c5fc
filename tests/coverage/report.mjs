// What gcov -b counted of the rooms that hold the promise, and whether every branch that no test takes has its reason in
// tests/coverage/untaken. Ends with "N passed, N failed": a line a room, and one for the reasons.
//   node tests/coverage/report.mjs BUILD        BUILD: where VARIANT=coverage was built; BUILD/counts: a folder for each run
// BUILD/untaken.txt lists every branch that was not taken, with its line of source.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const ROOMS = ['net', 'verify', 'store', 'dispatch'];
const REASONS = 'tests/coverage/untaken';
const build = process.argv[2] ?? 'build/coverage';

const below = (dir, ending) => readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
  const name = path.join(dir, entry.name);
  return entry.isDirectory() ? below(name, ending) : name.endsWith(ending) ? [name] : [];
});
const percent = (some, all) => (all === 0 ? '-' : `${((100 * some) / all).toFixed(1)} %`);
const add = (map, key, count) => map.set(key, (map.get(key) ?? 0) + count);

// Adds what gcov makes of these files to file -> { lines: line -> count, branches: "line function index" -> count, functions }.
function addCounts(files, room, named) {
  const told = spawnSync('gcov', ['-b', '--json-format', '--stdout', ...named], { encoding: 'utf8', maxBuffer: 1 << 30 }).stdout;
  for (const text of told.split('\n').filter((line) => line.startsWith('{'))) {
    for (const { file, functions, lines } of JSON.parse(text).files) {
      if (!file.startsWith(`receiver/${room}/`)) continue; // what a header of another room brought along
      if (!files.has(file)) files.set(file, { lines: new Map(), branches: new Map(), functions: new Map() });
      const counts = files.get(file);
      for (const { name, execution_count: count } of functions) add(counts.functions, name, count);
      for (const { line_number: line, function_name: name, count, branches } of lines) {
        add(counts.lines, line, count);
        branches.forEach((branch, i) => add(counts.branches, `${line} ${name} ${i}`, branch.count));
      }
    }
  }
}

// Each test file's counts are a folder of their own, so that a process that was killed while it wrote spoils no others.
function countsOf(room) {
  const files = new Map();
  addCounts(files, room, below(path.join(build, 'receiver', room), '.gcno')); // with nothing counted: what no test runs is there too
  for (const run of readdirSync(path.join(build, 'counts'))) {
    const dir = path.join(build, 'counts', run, 'receiver', room);
    if (!existsSync(dir)) continue;
    const named = below(dir, '.gcda');
    for (const name of named) {
      const note = name.replace(/gcda$/, 'gcno');
      if (!existsSync(note)) symlinkSync(path.resolve(build, path.relative(path.join(build, 'counts', run), note)), note);
    }
    addCounts(files, room, named);
  }
  return files;
}

// "file:function: reason", with "?" before the reason where chance decides whether a run takes them.
function readReasons() {
  const reasons = new Map();
  const problems = [];
  readFileSync(REASONS, 'utf8').split('\n').forEach((text, i) => {
    if (text === '' || text.startsWith('#')) return;
    const [, at, chance, reason] = /^([^:\s]+:\w+): (\? )?(\S.*)$/.exec(text) ?? [];
    if (!reason) problems.push(`${REASONS}:${i + 1}: not "file:function: reason"`);
    else if (reasons.has(at)) problems.push(`${REASONS}:${i + 1}: ${at} is named twice`);
    else reasons.set(at, { chance: Boolean(chance) });
  });
  return { reasons, problems };
}

const { reasons, problems } = readReasons();
const untaken = new Map(); // file:function -> lines
const listed = [];
const rows = [];
for (const room of ROOMS) {
  const all = { lines: [], branches: [], functions: [] };
  for (const [file, counts] of countsOf(room)) {
    for (const kind of Object.keys(all)) all[kind].push(...counts[kind].values());
    const source = readFileSync(file, 'utf8').split('\n');
    for (const [key, count] of counts.branches) {
      if (count > 0) continue;
      const [line, name] = key.split(' ');
      const at = `${file}:${name}`;
      untaken.set(at, (untaken.get(at) ?? new Set()).add(line));
      listed.push(`${at}:${line}: ${source[line - 1].trim()}`);
    }
  }
  const share = (counts) => percent(counts.filter((count) => count > 0).length, counts.length);
  rows.push([room, ...Object.values(all).map(share), all.branches.filter((count) => count === 0).length]);
}
writeFileSync(path.join(build, 'untaken.txt'), listed.map((line) => `${line}\n`).join(''));

const WIDTHS = [12, 9, 17, 11, 9];
const print = (row) => console.log(row.map((cell, i) => (i === 0 ? String(cell).padEnd(WIDTHS[i]) : String(cell).padStart(WIDTHS[i]))).join(''));
print(['room', 'lines', 'branches taken', 'functions', 'untaken']);
rows.forEach(print);

for (const [at, lines] of untaken) {
  if (!reasons.has(at)) problems.push(`${at}: no reason for branches of line ${[...lines].join(', ')}`);
}
for (const [at, { chance }] of reasons) {
  if (!untaken.has(at) && !chance) problems.push(`${at}: stale: each of its branches is taken, or it is gone`);
}
for (const problem of problems) console.log(problem);
const empty = rows.filter((row) => row[1] === '-' || row[1] === '0.0 %').length;
console.log(`${listed.length} branches not taken, in ${untaken.size} functions; ${reasons.size} have a reason`);
console.log(`${rows.length - empty + (problems.length === 0)} passed, ${empty + problems.length} failed`);
process.exit(empty + problems.length === 0 ? 0 : 1);
