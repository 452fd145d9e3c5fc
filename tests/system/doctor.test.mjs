// doctor: a healthy installation has no finding; each thing that is broken is one, with a remedy, and changes nothing.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, open, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { https, prepare, recorder, serve } from './hook.mjs';

const run = promisify(execFile);
const NOBODY = 65534;
const SECRET = 'a secret of more than sixteen bytes';
const sources = { github: { path: '/github', provider: 'github', secrets: [{ text: SECRET }] } };
const handlers = { log: { on: ['github/*'], log: {} } };

// All rows, and the findings among them, by what was looked at.
async function doctor(hook, code, ...options) {
  const rows = await hook.json('doctor', ...options, { code });
  for (const row of rows) {
    assert.deepEqual(Object.keys(row), ['check', 'result', 'message', 'remedy']);
    assert.ok(['ok', 'note', 'finding'].includes(row.result));
  }
  return { rows, findings: rows.filter((row) => row.result === 'finding') };
}

async function finds(hook, check, message, ...options) {
  const { findings } = await doctor(hook, 6, ...options);
  const fitting = findings.filter((row) => row.check === check && message.test(row.message));
  assert.equal(fitting.length, 1, `${check} ${message} in ${JSON.stringify(findings, null, 1)}`);
  return fitting[0];
}

async function certificate(hook, name, ...options) {
  const [cert, key] = [hook.path(`tls/${name}.pem`), hook.path(`tls/${name}.key`)];
  await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost', '-keyout', key, '-out', cert, ...options]);
  await chmod(key, 0o600);
  return { certificate: cert, key };
}

async function stored(t, count = 20) {
  const hook = await serve(t, { sources, handlers });
  for (let i = 0; i < count; i++) await hook.send('github', { id: `event ${i}`, body: Buffer.from(`{"number":${i},"text":"${'findable '.repeat(200)}"}`) });
  for (let i = 0; i < count; i++) await hook.settled(`github/event ${i}`, { state: 'done' });
  return hook;
}

describe('doctor', { timeout: 180_000, concurrency: 4 }, () => {
  it('has no finding where all is well: before the first start, while the service runs, and after it', async (t) => {
    const hook = await prepare(t, { sources, handlers });
    const names = async () => (await readdir(hook.dir)).sort();
    const before = await names();
    assert.match(JSON.stringify((await doctor(hook, 0)).rows), /is not there; the first start makes it/);
    assert.deepEqual(await names(), before, 'nothing is made');
    await hook.start();
    await hook.send('github', { id: 'one' });
    await hook.settled('github/one', { state: 'done' });
    const { rows } = await doctor(hook, 0);
    assert.ok(rows.some((row) => row.check === 'service' && row.message.includes(`pid ${hook.pid}`)));
    assert.ok(rows.some((row) => /^1 events, 1 deliveries; every page, index and body is sound$/.test(row.message)));
    for (const check of ['configuration', 'secrets', 'certificate', 'clock', 'libraries', 'limits', 'disk', 'service', 'store']) assert.ok(rows.some((row) => row.check === check), `nobody looked at: ${check}`);
    assert.match((await hook.send('github', { id: 'two' })).result, /accepted/);
    await hook.kill();
    const after = await doctor(hook, 0, '--quick');
    assert.ok(after.rows.some((row) => row.check === 'WAL' && /commits are not in the database yet/.test(row.message)));
    assert.ok(after.rows.some((row) => row.check === 'store' && /^2 events, 2 deliveries$/.test(row.message)));
    await hook.start();
    assert.equal((await hook.stats()).accepted, 0, 'since this start');
    assert.equal(await hook.count('events'), 2);
    const plain = await hook.ok('doctor');
    assert.match(plain, /^ok\tconfiguration\t/m);
  });

  it('a configuration that cannot be used, as its own check tells it, and all the rest as far as it can be read', async (t) => {
    const hook = await prepare(t, { sources, handlers: { broken: { on: ['github/*'], exec: ['no-such-program'] } } });
    await hook.configure({ limits: { body: 'much' } });
    assert.match((await finds(hook, 'configuration', /body/)).remedy, /config check/);
    await hook.configure({ limits: undefined, sources: { github: { path: '/github', provider: 'github', secrets: [{ file: 'secrets/gone' }] } } });
    await finds(hook, 'configuration', /secrets\/gone/);
    await finds(hook, 'handlers', /no-such-program is not there/);
  });

  it('what only the service has in its environment is no finding', async (t) => {
    const hook = await prepare(t, { handlers, sources: { github: { path: '/github', provider: 'github', secrets: [{ env: 'NOT_HERE' }, { credential: 'secrets_github' }] } } });
    const { rows } = await doctor(hook, 0);
    assert.equal(rows.filter((row) => row.check === 'secrets' && row.result === 'note').length, 2);
    assert.ok(rows.some((row) => row.check === 'disk'), 'the rest is looked at');
  });

  it('secrets that others can read or change', async (t) => {
    const hook = await prepare(t, { sources, handlers });
    const [name] = await readdir(hook.path('secrets'));
    const secret = hook.path('secrets', name);
    await chmod(secret, 0o644);
    assert.match((await finds(hook, 'secrets', /everybody can read it \(mode 0644\)/)).remedy, /^chmod /);
    await chmod(secret, 0o620);
    await finds(hook, 'secrets', /its group can change it/);
    await chmod(secret, 0o640);
    await chmod(hook.file, 0o666);
    await finds(hook, 'configuration', /everybody can change it/);
    await chmod(hook.file, 0o644);
    await chmod(hook.path('tls/key.pem'), 0o604);
    await finds(hook, 'secrets', /key\.pem: everybody can read it/);
    await chmod(hook.path('tls/key.pem'), 0o600);
    await chmod(hook.path('secrets'), 0o777);
    assert.match((await finds(hook, 'secrets', /everybody can replace .*secrets/)).remedy, /o-w the directory/);
    await chmod(hook.path('secrets'), 0o755);
    await chown(secret, 1234, 0);
    await finds(hook, 'secrets', /belongs to uid 1234/);
    await chown(secret, 0, 0);
    await doctor(hook, 0);
  });

  it('certificates: ended, ending, without a name, not trusted', async (t) => {
    const hook = await prepare(t, { sources, handlers });
    const named = ['-addext', 'subjectAltName=DNS:localhost'];
    await hook.configure({ listen: [https(await certificate(hook, 'short', '-days', '3', ...named))] });
    await finds(hook, 'certificate', /2 days left|3 days left/);
    await hook.configure({ listen: [https(await certificate(hook, 'nameless', '-days', '99'))] });
    await finds(hook, 'certificate', /no subjectAltName/);
    const good = await certificate(hook, 'good', '-days', '99', ...named);
    await hook.configure({ listen: [https(good)] });
    await doctor(hook, 0);
    await hook.configure({ listen: [{ ...https(good), https: '0.0.0.0:0' }] });
    assert.match((await finds(hook, 'certificate', /self-signed/)).remedy, /authority/);
  });

  it("handlers' programs that are not there, cannot be run, or can be changed by everybody", async (t) => {
    const hook = await prepare(t, { sources, handlers: { gone: { on: ['github/*'], exec: ['no-such-program'] } } });
    await finds(hook, 'handlers', /^gone: no-such-program is not there$/);
    await writeFile(hook.path('program'), '#!/bin/sh\n', { mode: 0o644 });
    await hook.configure({ handlers: { plain: { on: ['github/*'], exec: ['./program'] } } });
    assert.match((await finds(hook, 'handlers', /cannot be run/)).remedy, /chmod \+x/);
    await chmod(hook.path('program'), 0o777);
    await finds(hook, 'handlers', /everybody can change/);
    await hook.configure({ handlers: { record: recorder({ on: ['github/*'] }) } });
    await doctor(hook, 0);
  });

  it('a file whose name is no UTF-8', async (t) => {
    const hook = await prepare(t, { sources, handlers: { odd: { on: ['github/*'], exec: ['./program'] } } });
    const odd = Buffer.concat([Buffer.from(`${hook.dir}/`), Buffer.from([0xff, 0xfe])]);
    await mkdir(odd, { mode: 0o777 });
    await chmod(odd, 0o777);
    await run('sh', ['-c', 'd="$1/$(printf "\\377\\376")"; cp -r "$1/hooklatch.yaml" "$1/tls" "$1/secrets" "$d/"; exec "$2" doctor --quick --json -c "$d/hooklatch.yaml"', 'sh', hook.dir, hook.binary]).then(() => assert.fail('no finding'), ({ code, stdout }) => {
      assert.equal(code, 6);
      assert.ok(JSON.parse(stdout).some((row) => row.result === 'finding' && /everybody can replace .*\?\?/.test(row.message)));
    });
  });

  it('few descriptors, small files', async (t) => {
    const hook = await prepare(t, { sources, handlers });
    const limited = async (...limits) => {
      const { stdout } = await run('prlimit', [...limits, hook.binary, 'doctor', '--json', '-c', hook.file]).catch((error) => (assert.equal(error.code, 6), error));
      return JSON.parse(stdout).filter((row) => row.result === 'finding').map((row) => row.message).join('\n');
    };
    assert.match(await limited('--nofile=256'), /^256 file descriptors; limits\.connections/);
    assert.match(await limited('--fsize=10000000'), /^files may have at most 10000000 bytes/);
  });

  it('a disk that forgets', async (t) => {
    const dir = await realpath(await mkdtemp('/dev/shm/hooklatch-test-'));
    t.after(() => rm(dir, { recursive: true }));
    const hook = await prepare(t, { sources, handlers, store: `sqlite:${dir}/hooklatch.db` });
    await finds(hook, 'disk', /tmpfs is memory: a power cut loses what was acknowledged/);
    assert.deepEqual(await readdir(dir), []);
  });

  it('a page that is damaged, a body that is not what it was, a log with a hole', async (t) => {
    const hook = await stored(t);
    await hook.stop();
    await run('sqlite3', [hook.database, 'PRAGMA wal_checkpoint(TRUNCATE)']);
    const clean = await readFile(hook.database);
    const at = clean.indexOf('findable findable');
    assert.ok(at > 0);
    const rotten = Buffer.from(clean);
    rotten[at] ^= 1;
    await writeFile(hook.database, rotten);
    const found = await finds(hook, 'store', /^1 of 20 bodies are not what they were, the first github\/event \d+$/);
    assert.match(found.remedy, /redeliver/);
    await doctor(hook, 0, '--quick');
    const page = Buffer.from(clean);
    page.fill(0xff, 4096 * 3, 4096 * 3 + 64);
    await writeFile(hook.database, page);
    await finds(hook, 'store', /damaged/);
    await writeFile(hook.database, clean);
    await doctor(hook, 0);
    await chmod(hook.database, 0o666);
    await finds(hook, 'store', /everybody can change it/);
    await chmod(hook.database, 0o640);

    await hook.start();
    for (let i = 0; i < 10; i++) await hook.send('github', { id: `more ${i}` });
    await hook.kill();
    const wal = await open(`${hook.database}-wal`, 'r+');
    const { size } = await wal.stat();
    const { buffer } = await wal.read(Buffer.alloc(1), 0, 1, 32 + 24 + 100);
    await wal.write(Buffer.from([buffer[0] ^ 0x10]), 0, 1, 32 + 24 + 100);
    await wal.close();
    assert.ok(size > 5 * 4096);
    assert.match((await finds(hook, 'WAL', /commits/)).remedy, /salvage-wal/);
    assert.equal((await stat(`${hook.database}-wal`)).size, size, 'it is as it was found');
  });

  it('somebody else who has the database open', async (t) => {
    const hook = await stored(t, 1);
    const shell = spawn('sqlite3', ['-readonly', hook.database], { stdio: ['pipe', 'pipe', 'ignore'] });
    const gone = once(shell, 'exit');
    shell.stdin.write('BEGIN; SELECT count(*) FROM events;\n');
    await once(shell.stdout, 'data');
    await finds(hook, 'store', new RegExp(`^sqlite3, pid ${shell.pid}, has the database open beside the service$`));
    shell.kill('SIGKILL');
    await gone;
  });

  it('run by root it leaves nothing of root beside the store of another user', async (t) => {
    const hook = await prepare(t, { sources, handlers, wrap: ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] });
    await run('chown', ['-R', `${NOBODY}:${NOBODY}`, hook.dir]);
    await chown(hook.dir, NOBODY, NOBODY);
    await hook.start();
    await hook.send('github', { id: 'one' });
    await hook.settled('github/one', { state: 'done' });
    await hook.stop();
    await doctor(hook, 0);
    for (const name of await readdir(hook.dir)) assert.equal((await stat(hook.path(name))).uid, NOBODY, name);
    await hook.start();
  });
});
