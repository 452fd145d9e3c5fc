// Builds and runs tests/faults/torn: the store's own code on a disk in memory that forgets, tears and reorders.
import { execFileSync, spawn } from 'node:child_process';
import path from 'node:path';
import { built, root } from './preload.mjs';

// HOOKLATCH_TORN: another build of it, with a sanitizer for one.
const target = path.join(built, 'torn/torn');
export const torn = process.env.HOOKLATCH_TORN ?? target;

let make = () => {
  if (torn === target) execFileSync('make', ['-s', path.relative(root, target)], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  make = () => {};
};

// Its figures; the first problems that it met are in `told`. It ends by itself; a run that takes ten times what it should is killed.
export async function playTorn(options, { seconds }) {
  make();
  const args = Object.entries(options).flatMap(([name, value]) => (value === true ? [`--${name}`] : [`--${name}`, String(value)]));
  const child = spawn(torn, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), seconds * 10_000);
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].on('data', (piece) => (text[name] += piece));
  const code = await new Promise((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  if (code !== 0 && code !== 1) throw new Error(`torn ${args.join(' ')} ended with ${code}: ${text.stderr}`);
  return { code, told: text.stderr, ...JSON.parse(text.stdout) };
}
