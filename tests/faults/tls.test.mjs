// Hostile TLS: what a scanner finds, what older and odder clients are told, what is cut off in the middle, and tickets whose keys do not last.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { makeCertificate, placeCertificate } from '../system/certificate.mjs';
import { Clock } from '../system/clock.mjs';
import { Dice } from '../system/dice.mjs';
import { assertAnswer, github, https, patience, prepare, serve, spread, until, within } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';
import { helloOf, record } from './hello.mjs';

const options = { listen: [https()], sources: { github }, log: { format: 'json', level: 'info' } };

// What the program says and how it ended; it is given `input`, and stopped when it stays too long.
async function run(program, words, { cwd, input = '', deadline = 20_000 } = {}) {
  const child = spawn(program, words, { cwd });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (text += bytes.toString('latin1')));
  child.stdin.on('error', () => {});
  child.stdin.write(input);
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, text }));
  });
  try {
    return await within(`${program} ${words.join(' ')}`, ended, { deadline, say: () => text });
  } finally {
    child.kill('SIGKILL');
  }
}

// The sockets that the service has open; files of the store may come and go.
const sockets = (hook) => fs.readdirSync(`/proc/${hook.pid}/fd`).filter((fd) => {
  try {
    return fs.readlinkSync(`/proc/${hook.pid}/fd/${fd}`).startsWith('socket:');
  } catch {
    return false; // closed while we looked
  }
}).length;
const address = (hook) => `127.0.0.1:${hook.address('https').port}`;
const isServed = async (hook, id) => assertAnswer(await hook.send('github', { id, connection: await hook.connect() }), 'accepted');

// The bytes sent over a connection without TLS of its own; resolves to what came back, when the server has ended it.
async function answerTo(hook, pieces, { end = false } = {}) {
  const connection = await hook.connect({ to: 'tcp' });
  for (const piece of pieces) await connection.write(piece);
  if (end) connection.socket.end();
  const bytes = await connection.ended({ deadline: 15_000 });
  connection.close();
  return bytes;
}

// An alert, or nothing at all; anything else would be the start of a handshake.
const isRefusal = (bytes) => bytes.length === 0 || bytes[0] === 21;

describe('hostile TLS', { timeout: 240_000, concurrency: 2 }, () => {
  it('row 43: testssl.sh finds nothing of weight', async (t) => {
    const pair = await makeCertificate('localhost', 90);
    const hook = await serve(t, { ...options, certificate: pair });
    const file = hook.path('testssl.json');
    // In short form the versions; in the long one all but the pictures of clients.
    const parts = share(['-p', '-s', '-f', '-P', '-S', '-h', '-U'], ['-p']);
    const { port } = hook.address('https');
    const words = ['--quiet', '--color', '0', '--warnings', 'off', '--nodns', 'none', '--ip', '127.0.0.1', '--add-ca', hook.path('tls/cert.pem'), '--jsonfile', file, ...parts, `https://localhost:${port}/`];
    const { text } = await run('testssl', words, { cwd: hook.dir, deadline: 120_000 });
    const findings = JSON.parse(fs.readFileSync(file, 'utf8'));
    assert.ok(findings.length > share(80, 6), text);
    // A certificate that signs itself has nobody to ask whether it was revoked.
    const own = new Set(['cert_revocation', 'cert_chain_of_trust', 'cert_trust', 'OCSP_stapling', 'DNS_CAArecord']);
    const weighty = findings.filter(({ id, severity }) => ['MEDIUM', 'HIGH', 'CRITICAL', 'FATAL'].includes(severity) && !own.has(id));
    for (const id of ['SSLv2', 'SSLv3', 'TLS1', 'TLS1_1']) assert.match(findings.find((finding) => finding.id === id)?.finding ?? '', /^not offered/, id);
    t.diagnostic(`testssl.sh: ${findings.length} findings, ${weighty.length} of weight`);
    score(t, 43, { cases: findings.length, unexpected: weighty.length });
    assert.deepEqual(weighty.map(({ id, severity, finding }) => `${severity} ${id}: ${finding}`), []);
  });

  it('row 43: old versions, weak ciphers, compression and renegotiation are refused', async (t) => {
    const hook = await serve(t, options);
    const client = (...words) => run('openssl', ['s_client', '-connect', address(hook), '-servername', 'localhost', ...words], { input: 'Q\n' });
    let cases = 0;
    for (const version of ['-tls1', '-tls1_1']) {
      const { text } = await client(version, '-cipher', 'ALL:@SECLEVEL=0');
      assert.match(text, /alert protocol version|alert handshake failure/, `${version}\n${text}`);
      cases += 1;
    }
    for (const cipher of ['AES128-SHA', 'AES128-GCM-SHA256', 'ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES128-SHA256', 'DHE-RSA-AES128-GCM-SHA256', 'aNULL', 'eNULL', 'CAMELLIA128-SHA']) {
      const { text } = await client('-tls1_2', '-cipher', `${cipher}:@SECLEVEL=0`);
      assert.match(text, /alert handshake failure/, `${cipher}\n${text}`);
      cases += 1;
    }
    for (const version of ['-tls1_2', '-tls1_3']) {
      const { text } = await client(version, '-comp');
      assert.match(text, /Compression: NONE/, text);
      cases += 1;
    }
    const { text } = await run('openssl', ['s_client', '-connect', address(hook), '-tls1_2', '-legacy_renegotiation'], { input: 'R\n' });
    assert.match(text, /RENEGOTIATING/, text);
    assert.match(text, /SSL routines:[^:]*:no renegotiation/, text);
    await isServed(hook, 'after');
    score(t, 43, { cases: cases + 1 });
  });

  it('row 43: records that are cut off, altered or absurd end their connection and nothing else', async (t) => {
    const hook = await serve(t, { ...options, limits: { handshake_timeout: `${Math.ceil(patience)}s` } });
    const hello = await helloOf();
    const dice = new Dice('records');
    const tries = [
      ...Array.from({ length: share(hello.length - 1, 40) }, (_, n) => ({ bytes: [hello.subarray(0, share(n + 1, dice.between(1, hello.length - 1)))], end: true })),
      ...Array.from({ length: share(2000, 200) }, () => {
        const bytes = Buffer.from(hello);
        for (let changes = dice.between(1, 4); changes > 0; changes--) bytes[dice.below(bytes.length)] = dice.below(256);
        return { bytes: [bytes], end: true };
      }),
      ...Array.from({ length: share(500, 50) }, () => ({ bytes: [dice.bytes(dice.between(1, 400))], end: true })),
      { bytes: [Buffer.from([22, 3, 1, 0, 0])], end: true }, // a record of nothing
      { bytes: Array.from({ length: 64 }, () => Buffer.from([22, 3, 1, 0, 0])) },
      { bytes: [Buffer.from([22, 3, 1, 255, 255]), Buffer.alloc(65535)] }, // a record longer than any may be
      { bytes: [record(22, Buffer.from([1, 255, 255, 255])), ...Array.from({ length: 64 }, () => record(22, Buffer.alloc(16384)))] }, // a ClientHello of 16 MiB
      { bytes: Array.from(hello.subarray(5), (byte) => record(22, Buffer.from([byte]))), whole: true }, // each byte in a record of its own
      { bytes: [record(21, Buffer.from([1, 0]))] }, // goodbye first
      { bytes: Array.from({ length: 64 }, () => record(21, Buffer.from([1, 90]))) }, // warnings without end
      { bytes: [record(23, Buffer.alloc(100))] }, // data before there is a key
      { bytes: [record(20, Buffer.from([1]))] },
      { bytes: [record(24, Buffer.from([1, 64, 0]))] }, // heartbleed
      { bytes: [Buffer.from('802e0100020015000000100100800200800300800400800500800600400700c0'.padEnd(96, '0'), 'hex')] }, // SSL 2
      { bytes: [hello, hello], end: true },
      { bytes: [hello, record(23, Buffer.alloc(16384 + 256))] },
      { bytes: [hello, record(23, Buffer.alloc(17000))] },
      { bytes: [hello, ...Array.from({ length: 100 }, () => record(20, Buffer.from([1])))] },
      { bytes: [hello] }, // and nothing any more
      { bytes: [hello], end: true },
    ];
    const before = sockets(hook);
    const faults = [];
    await spread(tries, 32, async ({ bytes, end, whole }) => {
      const name = Buffer.concat(bytes).toString('hex').slice(0, 80);
      try {
        const answer = await answerTo(hook, bytes, { end });
        if (whole && answer[0] !== 22) faults.push(`${name} was refused`);
        if (!whole && !Buffer.concat(bytes).subarray(0, 1).equals(hello.subarray(0, 1)) && !isRefusal(answer)) faults.push(`${name} was answered ${answer.toString('hex').slice(0, 80)}`);
      } catch (error) {
        faults.push(`${name}: ${error.message}`);
      }
    });
    await until('all of them to be gone', () => sockets(hook) <= before);
    await isServed(hook, 'after');
    score(t, 43, { cases: tries.length, unexpected: faults.length });
    assert.deepEqual(faults, []);
  });

  it('row 43: a ClientHello of 60 KiB, none that names a host, and one that names another are served', async (t) => {
    const hook = await serve(t, options);
    const tries = {
      'no name': { servername: '' },
      'another name': { servername: 'elsewhere.example', checkServerIdentity: () => undefined },
      'a long name': { servername: `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.example`, checkServerIdentity: () => undefined },
      'many protocols': { ALPNProtocols: Array.from({ length: 250 }, (_, n) => `${n}`.padEnd(250, 'x')) },
    };
    const faults = [];
    for (const [name, tls] of Object.entries(tries)) {
      const connection = await hook.connect({ tls });
      const answer = await hook.send('github', { connection, id: name });
      if (answer.result !== 'accepted') faults.push(`${name}: ${answer.result}`);
      connection.close();
    }
    score(t, 43, { cases: Object.keys(tries).length, unexpected: faults.length });
    assert.deepEqual(faults, []);
  });

  it('row 43: who leaves in the middle of a handshake or of a request leaves nothing behind', async (t) => {
    const hook = await serve(t, options);
    const hello = await helloOf();
    const before = sockets(hook);
    const cases = share(2000, 200);
    await spread(Array.from({ length: cases }, (_, n) => n), 16, async (n) => {
      if (n % 4 === 3) {
        const connection = await hook.connect();
        await connection.write(Buffer.from('POST /github HTTP/1.1\r\nHost: loc'));
        connection.socket.destroy();
        return;
      }
      const connection = await hook.connect({ to: 'tcp' });
      await connection.write(n % 2 ? hello : hello.subarray(0, 50));
      if (n % 2 && n % 3 === 0) await connection.take(1); // has seen the server's answer
      if (n % 2) connection.socket.resetAndDestroy();
      else connection.socket.destroy();
    });
    await until('all of them to be gone', () => sockets(hook) <= before, { say: () => `${sockets(hook)} sockets, ${before} before` });
    await isServed(hook, 'after');
    score(t, 43, { cases });
  });
});

// A session, and the name of the key that its ticket is under: the first 16 bytes of it (RFC 5077 section 4).
async function sessionOf(hook, version, id) {
  const connection = await hook.connect({ tls: { minVersion: version, maxVersion: version } });
  let session;
  connection.socket.on('session', (der) => (session = der));
  assertAnswer(await hook.send('github', { connection, id }), 'accepted');
  await until('a session', () => session ?? (version === 'TLSv1.2' && (session = connection.socket.getSession())));
  const ticket = connection.socket.getTLSTicket();
  connection.close();
  assert.ok(ticket?.length > 16, 'a ticket');
  return { version, session, key: ticket.subarray(0, 16).toString('hex') };
}

// Whether the session is taken up again; a request is answered in any case.
async function isResumed(hook, { version, session }, id) {
  const connection = await hook.connect({ tls: { minVersion: version, maxVersion: version, session } });
  const resumed = connection.socket.isSessionReused();
  assertAnswer(await hook.send('github', { connection, id }), 'accepted');
  connection.close();
  return resumed;
}

describe('tickets', { timeout: 120_000, concurrency: 2 }, () => {
  it('row 43: a ticket from before a new certificate costs a whole handshake and nothing else, one from after it is resumed', async (t) => {
    const hook = await serve(t, options);
    let cases = 0;
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const old = await sessionOf(hook, version, `${version}-old`);
      assert.equal(await isResumed(hook, old, `${version}-old-again`), true);
      const since = hook.log.length;
      await placeCertificate(hook.dir, await makeCertificate());
      await hook.reload();
      await hook.logged('certificate.reloaded', { since });
      assert.equal(await isResumed(hook, old, `${version}-later`), false, `${version}: resumed under another certificate`);
      const fresh = await sessionOf(hook, version, `${version}-new`);
      assert.notEqual(fresh.key, old.key);
      assert.equal(await isResumed(hook, fresh, `${version}-new-again`), true);
      cases += 4;
    }
    score(t, 43, { cases });
  });

  it('row 43: the key of tickets is another one every day, and its tickets are resumed', async (t) => {
    const hook = await prepare(t, options);
    const clock = new Clock(hook);
    t.after(() => clock.close());
    await hook.start({ env: clock.env });
    const keys = new Set();
    const days = share(4, 2);
    let number = 0;
    for (let day = 0; day < days; day++) {
      clock.run(day * 24 * 3600 * 1000);
      const version = day % 2 ? 'TLSv1.2' : 'TLSv1.3';
      const fresh = await until(`another key on day ${day}`, async () => {
        const session = await sessionOf(hook, version, `n${number++}`);
        return !keys.has(session.key) && session;
      }, { every: 250, deadline: 15_000 });
      assert.equal(await isResumed(hook, fresh, `day-${day}`), true);
      keys.add(fresh.key);
    }
    score(t, 43, { cases: days });
  });

  it('row 43: a ticket that was altered, or is under a foreign key, is no session and no harm', async (t) => {
    const hook = await serve(t, options);
    const other = await serve(t, options);
    const dice = new Dice('tickets');
    let cases = 0;
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const foreign = await sessionOf(other, version, `${version}-foreign`);
      assert.equal(await isResumed(hook, foreign, `${version}-foreign-here`), false);
      const own = await sessionOf(hook, version, `${version}-own`);
      const at = own.session.indexOf(Buffer.from(own.key, 'hex'));
      assert.ok(at > 0, 'the ticket inside the session');
      for (let n = 0; n < share(60, 12); n++) {
        const session = Buffer.from(own.session);
        session[at + dice.below(100)] ^= 1 << dice.below(8);
        assert.equal(await isResumed(hook, { version, session }, `${version}-altered-${n}`), false, 'an altered ticket was taken');
        cases += 1;
      }
      assert.equal(await isResumed(hook, own, `${version}-own-again`), true);
      cases += 2;
    }
    score(t, 43, { cases });
  });
});
