// A command as somebody at a terminal sees it: run on a pseudo terminal, and what arrives there byte by byte.
import { spawn } from 'node:child_process';
import os from 'node:os';
import { within } from '../system/hook.mjs';

const shell = (word) => `'${word.replaceAll("'", "'\\''")}'`;

// Everything that a command of the program shows on a terminal, its messages too, as latin1: one character a byte.
export async function onTerminal(hook, ...args) {
  const line = [hook.binary, ...args, '-c', hook.file].map(shell).join(' ');
  const env = { ...process.env, ...hook.env, TERM: 'xterm-256color', COLUMNS: '400', SHELL: '/bin/sh' };
  // Its input stays open: an end of it would be typed as ^D, and echoed.
  const child = spawn('script', ['-qec', line, '/dev/null'], { cwd: os.tmpdir(), env, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {});
  const pieces = [];
  child.stdout.on('data', (bytes) => pieces.push(bytes));
  const code = await within(`hooklatch ${args.join(' ')} on a terminal`, new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }));
  return { code, text: Buffer.concat(pieces).toString('latin1') };
}

const ESCAPE = '\x1b';
const OWN = new RegExp(`${ESCAPE}\\[(?:[01]|3[1-3])m|\\r${ESCAPE}\\[K`, 'g'); // bold titles, the colours of tail, and a progress bar that is taken away again

// What a terminal would obey or could not show: control characters, of C1 as well, as bytes and as UTF-8, and what is no UTF-8 at all.
export function obeyed(text) {
  const shown = text.replace(OWN, '');
  const controls = [...shown.matchAll(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|\xc2[\x80-\x9f]/g)].map(({ 0: found, index }) => `${JSON.stringify(found)} in ${JSON.stringify(shown.slice(Math.max(0, index - 40), index + 40))}`);
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(shown, 'latin1'));
  } catch {
    controls.push('bytes that are no UTF-8');
  }
  return controls;
}
