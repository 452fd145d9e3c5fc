// make bench: plays chapters (tests/bench/chapters) one after the other on this machine, keeps what each of them measured in
// build/bench/results/NAME.json, and makes one report of all that still hold. Prints it. Node 18, no packages.
//
// A chapter exports `title`, `measure(bench)` (see kit.mjs) which returns what can be kept as JSON, `show(result)` (Markdown), and
// `goals(result)` ([{ goal: number in the list of goals or null, name, asked, value, reached, way }]); where it wants to also
// `short(result)` (Markdown for README.md) and `drawings(result)` ({ 'NAME.svg': text }).
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { Kit } from './kit.mjs';
import { commandOf, readOptions, root } from './options.mjs';
import { document, machine, shortDocument } from './report.mjs';

const order = ['peers', 'sizes', 'latency', 'repeats', 'handled', 'profile', 'idle', 'growth', 'maintenance', 'overload'];

const say = (text) => process.stderr.write(`${text}\n`);
const here = path.join(root, 'tests/bench');

function demandTools(options) {
  for (const [program, from] of [['nginx', 'Debian: nginx-light'], ['openssl', 'Debian: openssl'], ['taskset', 'Debian: util-linux'],
    ['sqlite3', 'Debian: sqlite3']]) {
    if (spawnSync(program, ['-V']).error !== undefined) throw new Error(`${program} is not installed (${from})`);
  }
  for (const name of ['hooklatch', 'load']) {
    if (!fs.existsSync(options[name])) throw new Error(`${options[name]} is not built: make bench does it`);
  }
}

function git(...args) {
  const asked = spawnSync('git', ['-C', root, ...args], { encoding: 'utf8' });
  return asked.status === 0 ? asked.stdout.trim() : '';
}

const MEASURED = ['receiver', 'handlers', 'migrations', 'Makefile', 'tests/bench/kit.mjs', 'tests/bench/servers.mjs', 'tests/bench/fill.mjs',
  'tests/bench/load.c', 'tests/bench/limits', 'tests/bench/peers', 'tests/bench/profile'];

// Of what a chapter measures and measures with: the last commit that changed any of it.
function commitOf(name) {
  const paths = ['--', ...MEASURED, `tests/bench/chapters/${name}.mjs`];
  const changed = git('status', '--porcelain', ...paths) !== '';
  return `${git('log', '-1', '--format=%h', ...paths) || 'unknown'}${changed ? ' with changes' : ''}`;
}

async function play(name, chapter, options) {
  const kit = new Kit(options);
  say(`\n${name}: ${chapter.title}`);
  const { rounds, seconds, warmup, pinned } = options;
  const record = {
    chapter: name,
    commit: commitOf(name),
    command: commandOf(name, options),
    plan: `${rounds} rounds of ${seconds} s after ${warmup} s, `
      + `${pinned ? 'the server on one core and the generator on another' : 'server and generator on all cores'}`,
    date: new Date().toISOString().slice(0, 10),
    machine: machine(kit.workshop, options.hooklatch, path.join(here, 'peers/package.json')),
  };
  try {
    record.result = await chapter.measure(kit);
  } catch (error) {
    kit.complain(`${name}: ${error.message}`);
    say(error.stack);
  }
  record.tls = kit.close();
  record.remarks = kit.remarks;
  record.wrong = kit.wrong;
  return record;
}

// What is kept of the chapters, as far as nothing has changed since.
function readRecords(results, chapters) {
  return order.flatMap((name) => {
    const file = path.join(results, `${name}.json`);
    if (!fs.existsSync(file)) return [];
    const record = JSON.parse(fs.readFileSync(file, 'utf8'));
    const commit = commitOf(name);
    if (record.commit === commit) return [{ chapter: chapters[name], record }];
    say(`${name} is left out of the report: it was measured at ${record.commit}, this is ${commit}`);
    return [];
  });
}

function write(played, report) {
  const readme = path.join(root, 'README.md');
  const text = fs.readFileSync(readme, 'utf8');
  const marks = /(<!-- bench -->\n)[^]*(<!-- end of bench -->)/;
  if (!marks.test(text)) throw new Error('README.md has no marks for the bench');
  fs.writeFileSync(readme, text.replace(marks, (_, begin, end) => `${begin}${shortDocument(played)}\n${end}`));
  fs.writeFileSync(path.join(here, 'RESULTS.md'),
    `# Bench\n\nWritten by \`make bench\` with \`--write\`; not to be edited.\n\n${report}\n`);
  for (const { chapter, record } of played) {
    const drawings = chapter.drawings?.(record.result) ?? {};
    for (const [name, drawing] of Object.entries(drawings)) fs.writeFileSync(path.join(here, name), drawing);
  }
}

const chapters = {};
for (const name of order) chapters[name] = await import(`./chapters/${name}.mjs`);
const options = readOptions(process.argv.slice(2), order);
const results = path.join(options.dir, 'results');
let wrong = false;
try {
  demandTools(options);
  fs.mkdirSync(results, { recursive: true });
  for (const name of options.report ? [] : order.filter((known) => (options.chapters ?? order).includes(known))) {
    const record = await play(name, chapters[name], options);
    wrong ||= record.wrong;
    if (record.result !== undefined) fs.writeFileSync(path.join(results, `${name}.json`), `${JSON.stringify(record)}\n`);
  }
  const played = readRecords(results, chapters);
  const report = document(played);
  process.stdout.write(`${report}\n`);
  const bad = played.filter(({ record }) => record.wrong).map(({ record }) => record.chapter);
  if (options.write && bad.length > 0) throw new Error(`nothing is written: something was wrong in ${bad.join(', ')}`);
  if (options.write) write(played, report);
} catch (error) {
  say(error.message);
  wrong = true;
}
process.exit(wrong ? 1 : 0);
