// strace, attached to a running service: faults in its system calls from now on, until it is detached.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

// `inject` as strace(1) has it: "fdatasync:delay_enter=200ms". With several threads all of them are traced.
export async function trace(t, pid, ...injects) {
  const names = injects.map((inject) => inject.split(':')[0]).join(',');
  const options = injects.flatMap((inject) => ['-e', `inject=${inject}`]);
  const tracer = spawn('strace', ['-f', '-p', String(pid), '-o', '/dev/null', '-e', `trace=${names}`, ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(tracer, 'exit');
  let said = '';
  await new Promise((resolve, reject) => {
    tracer.stderr.on('data', (text) => {
      said += text;
      if (/attached/.test(said)) resolve();
    });
    tracer.once('error', reject);
    tracer.once('exit', () => reject(new Error(`strace ended: ${said}`)));
  });
  const detach = async () => {
    if (tracer.exitCode === null && tracer.signalCode === null) tracer.kill('SIGKILL'); // the kernel detaches, and wakes what it held
    await ended;
  };
  t.after(detach);
  return { detach };
}
