// Listeners: HTTPS, plain HTTP where nobody else can reach it, unix sockets, and sockets inherited from somebody who keeps them open.
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, http, https, isAlive, prepare, serve, until, within } from './hook.mjs';
import { activated, heldSocket } from './socket.mjs';

describe('listener', { timeout: 120_000, concurrency: 4 }, () => {
  it('plain HTTP is spoken on loopback and on a unix socket, beside HTTPS', async (t) => {
    const hook = await serve(t, { listen: [https(), http(), { http: 'unix:receive.sock' }], sources: { github } });
    assertAnswer(await hook.send('github', { to: 'https', id: 'a' }), 'accepted');
    assertAnswer(await hook.send('github', { to: 'http', id: 'b' }), 'accepted');
    assertAnswer(await hook.send('github', { to: 'unix', id: 'c' }), 'accepted');
    assertAnswer(await hook.send('github', { to: 'unix', id: 'a' }), 'duplicate');
  });

  it('several addresses of a kind are all served', async (t) => {
    const hook = await serve(t, { listen: [https(), https(), http(), http()], sources: { github } });
    const urls = hook.addresses.filter((address) => /^https?:/.test(address));
    assert.equal(new Set(urls).size, 4, `addresses: ${hook.addresses}`);
  });

  it('an address that is taken is a failed start that names it', async (t) => {
    const first = await serve(t, { listen: [http()], sources: { github } });
    const { port } = first.address('http');
    const second = await prepare(t, { listen: [{ http: `127.0.0.1:${port}` }], sources: { github } });
    const { code, words } = await second.startFails();
    assert.equal(code, 1);
    assert.match(words, new RegExp(`127\\.0\\.0\\.1:${port}`));
  });

  it('plain HTTP off loopback, and allow on a unix socket, need trusted_proxies', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    for (const [good, changes] of [
      [false, { listen: [{ http: '0.0.0.0:8080' }] }],
      [true, { listen: [{ http: '0.0.0.0:8080', trusted_proxies: ['10.0.0.0/8'] }] }],
      [true, { listen: [{ http: '127.0.0.1:8080' }] }],
      [false, { listen: [{ http: 'unix:receive.sock' }], sources: { github: { ...github, allow: ['10.0.0.0/8'] } } }],
      [true, { listen: [{ http: 'unix:receive.sock', trusted_proxies: ['10.0.0.0/8'] }], sources: { github: { ...github, allow: ['10.0.0.0/8'] } } }],
    ]) {
      await hook.configure({ sources: { github }, ...changes });
      const { code, text } = await hook.cli('config', 'check');
      assert.equal(code, good ? 0 : 2, `${JSON.stringify(changes)}\n${text}`);
      if (!good) assert.match(text, /trusted_proxies/);
    }
  });

  it('the admin socket is there, for its owner alone, and tells life, readiness and numbers', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } });
    assert.equal((await stat(hook.path('hooklatch.sock'))).mode & 0o777, 0o600);
    assert.equal((await hook.admin('/livez')).status, 200);
    assert.equal((await hook.admin('/readyz')).status, 200);
    await hook.send('github', { id: 'a' });
    await hook.settled('github/a', { state: 'done' });
    const answer = await hook.admin('/v1/stats');
    assert.equal(answer.status, 200);
    const stats = JSON.parse(answer.text);
    assert.equal(stats.accepted, 1);
    assert.equal(stats.received, 1);
    assert.equal((await hook.admin('/nothing')).status, 404);
  });

  it('a socket left behind by a killed process does not stop the next start', async (t) => {
    const hook = await serve(t, { listen: [{ http: 'unix:receive.sock' }], sources: { github } });
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    await hook.kill();
    await hook.start();
    assertAnswer(await hook.send('github', { id: 'a' }), 'duplicate');
    assert.equal((await hook.admin('/livez')).status, 200);
  });

  it('an inherited socket is used, and a restart refuses nobody', async (t) => {
    const socket = await heldSocket();
    t.after(() => socket.close());
    const hook = await prepare(t, { listen: [{ ...https(), https: `127.0.0.1:${socket.port}` }], sources: { github } });
    const life = { ...activated, fds: [socket.fd] };
    await hook.start(life);
    // From now on clients come, each with a connection of its own, and none of them may be turned away.
    let going = true;
    let served = 0;
    const lost = [];
    const clients = Array.from({ length: 4 }, async (_, lane) => {
      for (let n = 0; going; n++) {
        try {
          const connection = await hook.connect();
          assertAnswer(await hook.send('github', { connection, id: `${lane}-${n}`, deadline: 30_000 }), 'accepted');
          connection.close();
          served += 1;
        } catch (error) {
          lost.push(`${error.code ?? ''} ${error.message.split('\n')[0]}`);
        }
      }
    });
    const more = (count) => until('more clients', () => served >= count, { say: () => lost.join('\n') });
    try {
      for (let round = 0; round < 3; round++) {
        await more(served + 20);
        const { pid, death } = hook;
        process.kill(pid, 'SIGTERM'); // not hook.stop(): that would close the clients' connections
        hook.mortal = true;
        assert.deepEqual(await within('the service to end', death), { code: 0, signal: null });
        assert.equal(await isAlive(pid), false);
        await hook.start(life);
      }
      await more(served + 20);
    } finally {
      going = false;
      await Promise.all(clients);
    }
    assert.deepEqual(lost, []);
    assert.equal(await hook.count('events'), served);
  });
});
