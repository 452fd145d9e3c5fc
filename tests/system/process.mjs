// Processes of other people's making: who belongs to a folder, who is alive. Read from /proc.
import { readdir, readFile, readlink } from 'node:fs/promises';

export async function belongingTo(dir, except = []) {
  const found = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!pid || except.includes(pid)) continue;
    try {
      const [cwd, line, stat] = await Promise.all([
        readlink(`/proc/${pid}/cwd`).catch(() => ''),
        readFile(`/proc/${pid}/cmdline`, 'utf8'),
        readFile(`/proc/${pid}/stat`, 'utf8'),
      ]);
      const state = stat.slice(stat.lastIndexOf(')') + 2)[0];
      if (state === 'Z') continue;
      if (cwd === dir || cwd.startsWith(`${dir}/`) || line.includes(`${dir}/`)) found.push({ pid, line: line.replaceAll('\0', ' ').trim() });
    } catch {
      // it went while we looked
    }
  }
  return found;
}

export async function isAlive(pid) {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z';
  } catch {
    return false;
  }
}

export function end(pid, signal = 'SIGKILL') {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
