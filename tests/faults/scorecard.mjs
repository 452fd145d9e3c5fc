// Runs every test that is named after a row of the fault matrix, and prints one line a row: cases, lost, doubled beyond the bound, corrupt,
// unexpected, seconds to recover; then the negative controls, each of which must be caught. Ends with 1 when a test failed, a row has no
// test, a figure that must be 0 is not, or a control passed.
//   node tests/faults/scorecard.mjs [--markdown FILE] [--into README.md, between its marks] [--rows 5,6,38]
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MATRIX } from './matrix.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({ options: { markdown: { type: 'string' }, into: { type: 'string' }, rows: { type: 'string' } } });
const wanted = values.rows?.split(',').map(Number) ?? Object.keys(MATRIX).map(Number);
const FILE_SECONDS = 600;
const CONTROLS = path.join('tests/faults', 'negative.test.mjs');
const WIDTH = Math.max(1, Math.min(2, os.cpus().length));

const files = ['tests/faults', 'tests/system']
  .flatMap((folder) => fs.readdirSync(path.join(root, folder)).map((name) => path.join(folder, name)))
  .filter((file) => file.endsWith('.test.mjs') && /\bscore\(/.test(fs.readFileSync(path.join(root, file), 'utf8')))
  .sort();

if (!values.rows) files.push(CONTROLS);
const controls = new Map(); // name → by what it was caught, or null
const places = []; // what was said of the places where calls can fail
const total = new Map(wanted.map((row) => [row, { tests: 0, cases: 0, lost: 0, doubled: 0, corrupt: 0, unexpected: 0, seconds: null, failed: [] }]));
const pattern = `^rows? [0-9, ]*\\b(${wanted.join('|')})\\b[0-9, ]*: `;

function runFile(file) {
  return new Promise((resolve) => {
    const env = { ...process.env, HOOKLATCH_FAULTS: process.env.HOOKLATCH_FAULTS ?? 'long' };
    const child = spawn(process.execPath, ['--test', '--test-reporter=tap', ...(file === CONTROLS ? [] : [`--test-name-pattern=/${pattern}/`]), file], { cwd: root, env });
    const timer = setTimeout(() => child.kill('SIGKILL'), FILE_SECONDS * 1000);
    let text = '';
    child.stdout.on('data', (piece) => (text += piece));
    child.stderr.on('data', (piece) => (text += piece));
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ file, code, text });
    });
  });
}

function read({ file, code, text }) {
  for (const [, json] of text.matchAll(/^\s*# score (\{.*\})$/gm)) {
    const { row, seconds, ...figures } = JSON.parse(json);
    const sum = total.get(row);
    if (sum === undefined) continue;
    sum.tests += 1;
    for (const [name, value] of Object.entries(figures)) sum[name] += value;
    if (seconds !== null) sum.seconds = Math.max(sum.seconds ?? 0, seconds);
  }
  for (const [, json] of text.matchAll(/^\s*# control (\{.*\})$/gm)) {
    const { control, caught, by } = JSON.parse(json);
    controls.set(control, caught && controls.get(control) !== null ? [...(controls.get(control) ?? []), by] : null);
  }
  for (const [, line] of text.matchAll(/^\s*# (places reached: .*)$/gm)) places.push(line);
  let told = false;
  for (const [, name] of text.matchAll(/^\s*not ok \d+ - (rows? [0-9, ]+: .*)$/gm)) {
    told = true;
    for (const row of name.match(/^rows? ([0-9, ]+): /)[1].split(',').map(Number)) total.get(row)?.failed.push(`${file}: ${name}`);
  }
  if (code !== 0) {
    const log = path.join(root, 'build/faults', `${path.basename(file)}.log`);
    fs.mkdirSync(path.dirname(log), { recursive: true });
    fs.writeFileSync(log, text);
    console.error(`${file} ended with ${code}; see build/faults/${path.basename(file)}.log`);
    if (!told) broken.push(file);
  }
}

const broken = [];
const begun = Date.now();
const queue = [...files];
await Promise.all(Array.from({ length: WIDTH }, async () => {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) read(await runFile(file));
}));

const head = ['row', 'fault', 'cases', 'lost', 'doubled', 'corrupt', 'unexpected', 'seconds'];
const lines = wanted.map((row) => {
  const { tests, cases, lost, doubled, corrupt, unexpected, seconds, failed } = total.get(row);
  const verdict = failed.length > 0 ? 'FAILED' : tests === 0 ? 'NO TEST' : null;
  return [String(row), MATRIX[row], verdict ?? String(cases), String(lost), String(doubled), String(corrupt), String(unexpected), seconds === null ? '' : seconds.toFixed(1)];
});
const widths = head.map((name, i) => Math.max(name.length, ...lines.map((line) => line[i].length)));
const plain = (line) => line.map((cell, i) => (i === 1 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ');
console.log([head, ...lines].map(plain).join('\n'));
for (const { failed } of total.values()) for (const name of failed) console.log(`failed: ${name}`);
const sums = [...total.values()].map(({ lost, doubled, corrupt, unexpected }) => lost + doubled + corrupt + unexpected);
const good = [...total.values()].filter(({ tests, failed }, i) => tests > 0 && failed.length === 0 && sums[i] === 0).length;
const caught = [...controls.values()].filter((by) => by !== null).length;
if (!values.rows) console.log(`negative controls caught: ${caught} of ${controls.size} (${[...controls.keys()].join(', ')})`);
for (const line of places) console.log(line);
console.log(`${files.length} files, ${Math.round((Date.now() - begun) / 1000)} s`);
if (values.markdown || values.into) {
  const row = (cells) => `| ${cells.join(' | ')} |`;
  const table = [row(head), row(head.map((_, i) => (i === 1 ? '---' : '---:'))), ...lines.map(row)];
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  const told = `\`make faults\` at ${commit}, ${Math.round((Date.now() - begun) / 1000)} s on ${os.cpus().length} cores. Negative controls caught: ${caught} of ${controls.size}. ${places.map((line) => `${line}.`).join(' ')}`;
  const text = [told.trim(), '', ...table].join('\n');
  if (values.markdown) {
    fs.mkdirSync(path.dirname(values.markdown), { recursive: true });
    fs.writeFileSync(values.markdown, `${text}\n`);
  }
  if (values.into) {
    const readme = fs.readFileSync(values.into, 'utf8');
    fs.writeFileSync(values.into, readme.replace(/(<!-- scorecard -->\n)[^]*(\n<!-- end of scorecard -->)/, (_, first, last) => first + text + last));
  }
}
const missed = controls.size - caught;
console.log(`${good + caught} passed, ${wanted.length - good + missed + broken.length} failed`);
process.exit(good === wanted.length && broken.length + missed === 0 ? 0 : 1);
