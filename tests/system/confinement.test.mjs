// What the service may do and what it shows: each of its threads, its memory, its environment, its socket, its files.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, open, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { prepare, recorder, serve, until } from './hook.mjs';

const run = promisify(execFile);
// Prints the answer; ends badly when there is none.
const ASK = 'my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!; print $s "GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n"; local $/; my $a = <$s> // ""; print $a; exit($a =~ /^HTTP/ ? 0 : 1);';
const NOBODY = 65534;
const asNobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
const github = (path, ...secrets) => ({ path, provider: 'github', secrets });

async function threads(pid) {
  const found = [];
  for (const id of await readdir(`/proc/${pid}/task`)) {
    const status = await readFile(`/proc/${pid}/task/${id}/status`, 'utf8');
    const of = (key) => status.match(new RegExp(`^${key}:\\s*(.*)$`, 'm'))[1];
    found.push({ name: of('Name'), seccomp: Number(of('Seccomp')), noNewPrivs: Number(of('NoNewPrivs')) });
  }
  return found;
}

// How often a text stands in what a process has written to: not in the files that it maps.
async function occurrences(pid, text) {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8');
  const memory = await open(`/proc/${pid}/mem`, 'r');
  const needle = Buffer.from(text);
  let count = 0;
  try {
    for (const line of maps.split('\n')) {
      const [, from, to, rights] = line.match(/^([0-9a-f]+)-([0-9a-f]+) (....)/) ?? [];
      if (!rights?.startsWith('rw')) continue;
      const begin = Number(`0x${from}`);
      const size = Number(`0x${to}`) - begin;
      for (let at = 0; at < size; at += 16 << 20) {
        const piece = Buffer.alloc(Math.min((16 << 20) + needle.length - 1, size - at));
        const { bytesRead } = await memory.read(piece, 0, piece.length, begin + at).catch(() => ({ bytesRead: 0 }));
        const view = piece.subarray(0, bytesRead);
        for (let i = view.indexOf(needle); i >= 0; i = view.indexOf(needle, i + 1)) count++;
      }
    }
  } finally {
    await memory.close();
  }
  return count;
}

test('net loops and the store give up what they never need; workers, and programs, keep everything', async (t) => {
  const program = recorder({ on: ['github/*'], then: 'cp /proc/self/status "$dir/status"; umask >"$dir/umask"' });
  const hook = await serve(t, { sources: { github: github('/github', { text: 'sixteen bytes and more' }) }, handlers: { program }, wrap: ['sh', '-c', 'umask 022; exec "$@"', 'sh'] });
  await hook.send('github', { id: 'one' });
  await hook.settled('github/one', { state: 'done' });
  const all = await threads(hook.pid);
  const confined = new Set(['net', 'store']);
  for (const name of ['net', 'store', 'worker']) assert.ok(all.some((thread) => thread.name === name), `a thread is called ${name}`);
  for (const thread of all) {
    const bound = confined.has(thread.name);
    assert.deepEqual({ ...thread }, { name: thread.name, seccomp: bound ? 2 : 0, noNewPrivs: bound ? 1 : 0 });
  }
  const status = await readFile(hook.path('status'), 'utf8');
  assert.match(status, /^NoNewPrivs:\t0$/m);
  assert.match(status, /^Seccomp:\t0$/m);
  assert.match(await readFile(hook.path('umask'), 'utf8'), /^0?022$/m, 'programs have the umask that the service was called with');
});

test('a secret is in memory for its use, and nowhere else', async (t) => {
  const [file, variable, token] = ['file', 'variable', 'token'].map((name) => `${name}-of-a-secret-${process.pid}-0123456789`);
  const one = github('/one', { text: file });
  const two = github('/two', { env: 'OUR_SECRET' });
  const program = (...environment) => recorder({ on: ['*/*'], environment, then: 'env >"$dir/env.$$"; mv "$dir/env.$$" "$dir/env"' });
  const hook = await prepare(t, { env: { OUR_SECRET: variable, OUR_TOKEN: token, NOT_SECRET: 'seen' }, sources: { one, two }, handlers: { program: program('NOT_SECRET') } });
  await hook.configure({ admin: [{ unix: 'hooklatch.sock' }, { http: '127.0.0.1:0', token: { env: 'OUR_TOKEN' } }] });
  hook.keepSecret(variable);
  await hook.start();
  await hook.send('one', { id: 'a' });
  await hook.send({ ...two, secrets: [{ text: variable }] }, { id: 'b' });
  for (const key of ['one/a', 'two/b']) await hook.settled(key, { state: 'done' });
  const loops = (await threads(hook.pid)).filter((thread) => thread.name === 'net').length;
  const keyed = async (text, copies) => {
    const count = await occurrences(hook.pid, text);
    assert.ok(count >= 1 && count <= copies + loops, `${text}: ${count} copies, ${loops} loops`);
  };
  await keyed(file, 1); // from a file: the key, and the hashes that loops have keyed with it
  await keyed(variable, 2); // from the environment: what the next reload reads, too
  assert.equal(await occurrences(hook.pid, token), 2);
  const environ = await readFile(`/proc/${hook.pid}/environ`, 'latin1');
  assert.ok(environ.includes('NOT_SECRET=seen') && !environ.includes(variable) && !environ.includes(token));
  assert.ok(!(await readFile(`/proc/${hook.pid}/cmdline`, 'latin1')).includes('secret'));
  const seen = await readFile(hook.path('env'), 'utf8');
  assert.match(seen, /^NOT_SECRET=seen$/m);
  assert.doesNotMatch(seen, /OUR_SECRET|OUR_TOKEN|of-a-secret/);

  const other = github('/one', { text: 'another one, that is as long' });
  assert.equal((await hook.reload({ sources: { one: other, two } })).event, 'config.reloaded');
  await hook.send('one', { id: 'c' });
  await hook.send({ ...two, secrets: [{ text: variable }] }, { id: 'd' });
  for (const key of ['one/c', 'two/d']) await hook.settled(key, { state: 'done' });
  await until('what is out of use is out of memory', async () => (await occurrences(hook.pid, file)) === 0, { every: 200 });

  assert.match((await hook.reload({ handlers: { program: program('OUR_SECRET') } })).error, /environment: OUR_SECRET holds a secret of a source, which no program gets/);
});

test('nobody but root looks into the process, and it leaves no core', async (t) => {
  const hook = await prepare(t, { sources: {}, handlers: {} });
  await run('chown', ['-R', String(NOBODY), hook.dir]);
  hook.wrap = asNobody;
  await hook.start();
  // The kernel gives /proc/PID of a process that is not dumpable to root (proc(5)); such a process dumps no core (core(5)).
  assert.equal((await stat(`/proc/${hook.pid}/mem`)).uid, 0);
  const [command, ...options] = asNobody;
  await assert.rejects(run(command, [...options, 'readlink', `/proc/${hook.pid}/exe`]));
  assert.match(await readlink(`/proc/${hook.pid}/exe`), /hooklatch/);
});

test('the socket of commands is for root, its own user and its group, whatever its mode says', async (t) => {
  const hook = await serve(t, { sources: {}, handlers: {}, admin: [{ unix: 'hooklatch.sock', group: 'daemon' }] });
  await chmod(hook.dir, 0o755);
  await chmod(hook.path('hooklatch.sock'), 0o777);
  const ask = (...options) =>
    run('setpriv', [...options, 'perl', '-MIO::Socket::UNIX', '-e', ASK, hook.path('hooklatch.sock')]).then(
      ({ stdout }) => stdout,
      (error) => `refused: ${error.stderr}`,
    );
  const daemon = (await run('getent', ['group', 'daemon'])).stdout.split(':')[2];
  assert.doesNotMatch(await ask(`--reuid=${NOBODY}`, `--regid=${daemon}`, '--clear-groups'), /refused/, 'its group');
  assert.doesNotMatch(await ask(`--reuid=${NOBODY}`, `--regid=${NOBODY}`, `--groups=${daemon}`), /refused/, 'a group beside the first');
  assert.doesNotMatch(await ask('--reuid=0'), /refused/, 'root');
  assert.match(await ask(`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'), /refused/, 'anybody else');
});

test('what the service makes is not for others, even with an open umask', async (t) => {
  const hook = await prepare(t, { sources: {}, handlers: {}, log: { format: 'json', level: 'debug', file: 'hooklatch.log' } });
  hook.wrap = ['sh', '-c', 'umask 0; exec "$@"', 'sh'];
  const before = new Set(await readdir(hook.dir));
  await hook.start();
  for (const name of await readdir(hook.dir)) {
    if (before.has(name)) continue;
    const { mode } = await stat(hook.path(name));
    assert.equal(mode & 0o007, 0, `${name} is ${(mode & 0o777).toString(8)}`);
  }
});
