// TLS: 1.2 and 1.3, resumption, nothing older; the certificate is taken anew when its files change.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { makeCertificate, placeCertificate } from './certificate.mjs';
import { score } from '../faults/matrix.mjs';
import { assertAnswer, github, prepare, serve, until } from './hook.mjs';

const fingerprint = (pem) => new X509Certificate(pem).fingerprint256;
async function seen(hook) {
  const connection = await hook.connect({ tls: { rejectUnauthorized: false } });
  const { fingerprint256 } = connection.socket.getPeerCertificate();
  connection.close();
  return fingerprint256;
}

describe('tls', { timeout: 120_000, concurrency: 4 }, () => {
  it('row 43: 1.2 and 1.3 are spoken, anything older is refused', async (t) => {
    const hook = await serve(t, { sources: { github } });
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const connection = await hook.connect({ tls: { minVersion: version, maxVersion: version } });
      assert.equal(connection.socket.getProtocol(), version);
      assertAnswer(await hook.send('github', { connection, id: version }), 'accepted');
    }
    for (const version of ['TLSv1', 'TLSv1.1']) {
      await assert.rejects(hook.connect({ tls: { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' } }), (error) => {
        assert.match(String(error.code ?? error.message), /ALERT|ECONNRESET|ECLOSED/i, 'refused by the server, not by us');
        return true;
      });
    }
    score(t, 43, { cases: 4 });
  });

  it('row 43: sessions are resumed in both versions', async (t) => {
    const hook = await serve(t, { sources: { github } });
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const tls = { minVersion: version, maxVersion: version };
      const first = await hook.connect({ tls });
      let session = version === 'TLSv1.2' ? first.socket.getSession() : undefined;
      first.socket.on('session', (ticket) => (session = ticket));
      assertAnswer(await hook.send('github', { connection: first, id: `${version}-1` }), 'accepted');
      await until('a session', () => session);
      first.close();
      const second = await hook.connect({ tls: { ...tls, session } });
      assert.equal(second.socket.isSessionReused(), true, version);
      assertAnswer(await hook.send('github', { connection: second, id: `${version}-2` }), 'accepted');
    }
    score(t, 43, { cases: 2 });
  });

  it('a request that comes with the end of the handshake is answered', async (t) => {
    const hook = await serve(t, { sources: { github } });
    for (let n = 0; n < 30; n++) {
      const connection = await hook.connect();
      assertAnswer(await hook.send('github', { connection, id: `n${n}` }), 'accepted');
      connection.close();
    }
  });

  it('row 43: plain HTTP on the TLS port, and nonsense, end the connection and nothing else', async (t) => {
    const hook = await serve(t, { sources: { github } });
    for (const sent of ['POST /github HTTP/1.1\r\nHost: localhost\r\n\r\n', '\x16\x03\x01\xff\xff', '\x00'.repeat(1000)]) {
      const connection = await hook.connect({ to: 'tcp' });
      await connection.write(Buffer.from(sent, 'latin1'));
      await connection.ended();
      connection.close();
    }
    assertAnswer(await hook.send('github', { id: 'after' }), 'accepted');
    score(t, 43, { cases: 3 });
  });

  it('a changed certificate is taken without a restart, and open connections live on', async (t) => {
    const pairs = [await makeCertificate('first'), await makeCertificate('second')];
    const hook = await serve(t, { sources: { github }, certificate: pairs[0] });
    assert.equal(await seen(hook), fingerprint(pairs[0].certificate));
    const open = await hook.connect();
    await placeCertificate(hook.dir, pairs[1]);
    await until('the new certificate to be shown', async () => (await seen(hook)) === fingerprint(pairs[1].certificate), { every: 200 });
    assertAnswer(await hook.send('github', { connection: open, id: 'open' }), 'accepted');
    assertAnswer(await hook.send('github', { id: 'fresh' }), 'accepted');
  });

  it('a bad pair is refused and the old one kept, until a good one comes', async (t) => {
    const [good, other, next] = await Promise.all(['good', 'other', 'next'].map((name) => makeCertificate(name)));
    const hook = await serve(t, { sources: { github }, certificate: good });
    for (const [name, pair] of Object.entries({
      'a key that does not belong to it': { certificate: other.certificate, key: good.key },
      'no certificate at all': { certificate: 'nothing', key: good.key },
      'an empty key': { certificate: good.certificate, key: '' },
    })) {
      const since = hook.log.length;
      await placeCertificate(hook.dir, pair);
      await hook.logged((entry) => /^(warn|err)/.test(entry.level) && /certificate|tls/i.test(entry.line), { since });
      assert.equal(await seen(hook), fingerprint(good.certificate), name);
    }
    await placeCertificate(hook.dir, next);
    await until('the good pair to be taken', async () => (await seen(hook)) === fingerprint(next.certificate), { every: 200 });
  });

  it('a start with a bad pair fails and says which file', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    await writeFile(hook.path('tls/key.pem'), 'nothing');
    const { code, words } = await hook.startFails();
    assert.ok(code === 1 || code === 2, `exit ${code}`);
    assert.match(words, /tls\/(key|cert)\.pem/);
  });
});
