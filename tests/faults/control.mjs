// Negative controls: the programs that `make negative` builds, each with one promise broken, and the tests that must not pass with them.
import { execFileSync, spawn } from 'node:child_process';
import path from 'node:path';
import { root } from './preload.mjs';

// HOOKLATCH_NEGATIVE: where they are, when somebody else has built them.
const built = path.join(root, 'build/negative');
const place = path.resolve(process.env.HOOKLATCH_NEGATIVE ?? built);

export function buildControls() {
  if (place === built) execFileSync('make', ['-s', 'negative'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
}

export const controlOf = (name) => path.join(place, name, 'hooklatch');

// The tests that ran, of a report in TAP: { name, passed, said }. What was skipped did not, and a suite is none.
export function readReport(text) {
  const results = text.matchAll(/^ *(not )?ok \d+ - (.*)\n *---\n([^]*?)\n *\.\.\.$/gm);
  return [...results]
    .filter(([, , name, said]) => !name.includes('# SKIP') && !/^ *type: 'suite'$/m.test(said))
    .map(([, not, name, said]) => ({ name, passed: not === undefined, said }));
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

// Plays one test of a file, as it stands there and in short form, with a control in the program's place.
export async function playTest(control, file, name, environment = {}) {
  const env = { ...process.env, HOOKLATCH_FAULTS: 'short', ...environment, HOOKLATCH_BINARY: controlOf(control) };
  delete env.NODE_TEST_CONTEXT; // it is no part of this run
  const child = spawn(process.execPath, ['--test', '--test-reporter=tap', `--test-name-pattern=/${escaped(name)}$/`, file], { cwd: root, env });
  const timer = setTimeout(() => child.kill('SIGKILL'), 120_000);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (piece) => (text += piece));
  await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  clearTimeout(timer);
  return { text, ran: readReport(text) };
}
