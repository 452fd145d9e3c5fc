// The database as a user may read it: with the sqlite3 command, read-only.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const quote = (text) => `'${String(text).replaceAll("'", "''")}'`;

export async function query(file, sql) {
  const { stdout } = await run('sqlite3', ['-readonly', '-json', '-cmd', '.timeout 10000', file, sql], { maxBuffer: 1 << 30 });
  return stdout.trim() === '' ? [] : JSON.parse(stdout);
}
