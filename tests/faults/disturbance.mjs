// System calls of a service that fail: strace's injection, from its start on or attached while it runs.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { within } from '../system/hook.mjs';

// Leaks cannot be looked for under a tracer; a signal that ends the process shall end it.
export const UNDER_TRACE = { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0:handle_sigbus=0`, TSAN_OPTIONS: `${process.env.TSAN_OPTIONS ?? ''}:handle_sigbus=0` };

// `calls`: names of system calls; `how`: as in strace's inject, such as error=EIO:when=1; `files`: only calls on these.
const words = ({ calls, how, files = [] }) => [
  '-e', `trace=${calls}`, ...(how ? ['-e', `inject=${calls}:${how}`] : []), ...files.flatMap((file) => ['-P', file]),
];

// For `hook.start({ wrap })`. The tracer is the grandchild, so that the service is still our child.
export const from = (start) => (hook) => ['strace', '-D', '-f', '-o', hook.path('trace'), ...words(start)];

// Attaches to the running service. Resolves when what comes from now on is disturbed.
export async function disturb(t, hook, fault) {
  const trace = hook.path(`trace-${process.hrtime.bigint()}`);
  const child = spawn('strace', ['-f', '-p', String(hook.pid), '-o', trace, ...words(fault)], { stdio: ['ignore', 'ignore', 'pipe'] });
  const gone = new Promise((resolve) => child.once('close', resolve));
  t.after(() => child.kill('SIGKILL'));
  let heard = '';
  await within('strace to attach', new Promise((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text) => {
      heard += text;
      if (/attached/.test(heard)) resolve();
    });
    gone.then(() => reject(new Error(`strace has gone: ${heard}`)));
  }));
  return {
    // Lets it go its way again, and gives the calls that were seen.
    async end() {
      child.kill('SIGTERM');
      // A delay that is under way while a program is started can make it wait for ever; without it the kernel detaches.
      await within('strace to let go', gone, { deadline: 5000 }).catch(() => child.kill('SIGKILL'));
      await gone;
      return fs.readFileSync(trace, 'utf8').split('\n').filter((line) => /^\d+ +\w+\(/.test(line));
    },
  };
}
