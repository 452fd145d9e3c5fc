// Limits: what is too much is refused early, readably, and without harm to others.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { score } from '../faults/matrix.mjs';
import { sanitizerOf } from '../faults/preload.mjs';
import { assertAnswer, github, http, plain, requestBytes, serve, signedRequest, understood, until } from './hook.mjs';

const head = (source, options, extra) => {
  const { headers, body } = signedRequest(source, options);
  return { bytes: requestBytes({ target: source.path, headers: [...headers, ...extra(body)], bare: false }), body };
};
const answer = async (connection, options) => {
  const response = await connection.response(options);
  assert.ok(response, 'closed without an answer');
  return understood(response);
};

describe('limit', { timeout: 120_000, concurrency: 6 }, () => {
  it('row 39: a body that is announced too large is refused before it is read', async (t) => {
    const hook = await serve(t, { sources: { plain, small: { ...plain, path: '/small', body_limit: '1KiB' } }, limits: { body: '64KiB' } });
    for (const [target, size] of [['/plain', 65_537], ['/small', 1025]]) {
      const connection = await hook.connect();
      await connection.write(requestBytes({ target, headers: [['Content-Length', String(size)]] }));
      assertAnswer(await answer(connection), 'body_too_large', target);
      await connection.ended();
    }
    const exact = Buffer.from(`{"id":"exact","pad":"${'x'.repeat(65_536 - 23)}"}`);
    assert.equal(exact.length, 65_536);
    assertAnswer(await hook.send('plain', { body: exact }), 'accepted');
    score(t, 39, { cases: 3 });
  });

  it('row 39: a chunked body is refused when it becomes too large', async (t) => {
    const hook = await serve(t, { sources: { plain }, limits: { body: '64KiB' } });
    const connection = await hook.connect();
    await connection.write(requestBytes({ target: '/plain', headers: [['Transfer-Encoding', 'chunked']] }));
    const piece = Buffer.concat([Buffer.from('2000\r\n'), Buffer.alloc(8192, 'x'), Buffer.from('\r\n')]);
    for (let n = 0; n < 9; n++) await connection.write(piece);
    assertAnswer(await answer(connection), 'body_too_large');
    await connection.ended();
    assert.equal(await hook.count('events'), 0);
    score(t, 39, { cases: 1 });
  });

  it('row 39: a chunk whose size is too large is refused before its data', async (t) => {
    const hook = await serve(t, { sources: { plain }, limits: { body: '64KiB' } });
    const connection = await hook.connect();
    await connection.write(Buffer.concat([requestBytes({ target: '/plain', headers: [['Transfer-Encoding', 'chunked']] }), Buffer.from('10001\r\n')]));
    assertAnswer(await answer(connection), 'body_too_large');
    await connection.ended();
    score(t, 39, { cases: 1 });
  });

  it('row 39: the refusal can be read by a sender that goes on sending', async (t) => {
    const hook = await serve(t, { sources: { plain }, limits: { body: '16KiB' } });
    for (let n = 0; n < 20; n++) {
      const connection = await hook.connect();
      await connection.write(requestBytes({ target: '/plain', headers: [['Content-Length', '200000']], body: Buffer.alloc(200_000, 'x') }));
      assertAnswer(await answer(connection), 'body_too_large', `round ${n}`);
      connection.close();
    }
    score(t, 39, { cases: 20 });
  });

  it('row 39: too many headers, too large ones and a long request line are 431', async (t) => {
    const hook = await serve(t, { sources: { plain } });
    const tries = {
      many: requestBytes({ target: '/plain', headers: Array.from({ length: 129 }, (_, n) => [`X-${n}`, '1']) }),
      large: requestBytes({ target: '/plain', headers: [['X-Large', 'x'.repeat(33_000)]] }),
      endless: Buffer.from(`POST /plain HTTP/1.1\r\nHost: localhost\r\nX-Endless: ${'x'.repeat(33_000)}`),
      together: requestBytes({ target: '/plain', headers: Array.from({ length: 100 }, (_, n) => [`X-${n}`, 'x'.repeat(400)]) }),
      line: Buffer.from(`POST /plain?${'x'.repeat(33_000)}`),
    };
    for (const [name, bytes] of Object.entries(tries)) {
      const connection = await hook.connect();
      await connection.write(bytes);
      assertAnswer(await answer(connection), 'headers_too_large', name);
      await connection.ended();
    }
    const connection = await hook.connect();
    await connection.write(Buffer.from(`POST /unknown?${'x'.repeat(33_000)}`)); // judged in the order of the contract
    assertAnswer(await answer(connection), 'not_found');
    assertAnswer(await hook.send('plain', { id: 'fits', headers: { 'X-Large': 'x'.repeat(30_000) } }), 'accepted');
    assertAnswer(await hook.send('plain', { id: 'count', headers: Object.fromEntries(Array.from({ length: 120 }, (_, n) => [`X-${n}`, '1'])) }), 'accepted');
    score(t, 39, { cases: 8 });
  });

  it('row 39: limits of the configuration hold', async (t) => {
    const hook = await serve(t, { sources: { plain }, limits: { headers: '2KiB', header_count: 10 } });
    assertAnswer(await hook.send('plain', { headers: { 'X-Large': 'x'.repeat(2100) } }), 'headers_too_large');
    assertAnswer(await hook.send('plain', { headers: Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`X-${n}`, '1'])) }), 'headers_too_large');
    assertAnswer(await hook.send('plain', { id: 'fits' }), 'accepted');
    score(t, 39, { cases: 3 });
  });

  it('row 38: who stops in the middle of a head or a body is told so', async (t) => {
    const hook = await serve(t, { sources: { plain }, limits: { header_timeout: '1s', body_timeout: '1s' } });
    const { bytes, body } = head(plain, { id: 'slow' }, (content) => [['Content-Length', String(content.length)]]);
    for (const [name, sent] of Object.entries({ head: bytes.subarray(0, 30), body: Buffer.concat([bytes, body.subarray(0, 5)]) })) {
      const connection = await hook.connect();
      const begun = Date.now();
      await connection.write(sent);
      assertAnswer(await answer(connection), 'timeout', name);
      assert.ok(Date.now() - begun >= 1000, `${name}: told earlier than promised`);
      await connection.ended();
    }
    assert.equal(await hook.count('events'), 0);
    score(t, 38, { cases: 2 });
  });

  it('row 38: a slow drip does not extend the time for a head', async (t) => {
    const hook = await serve(t, { sources: { plain }, limits: { header_timeout: '1s' } });
    const connection = await hook.connect();
    let over = false;
    connection.over.then(() => (over = true));
    await connection.write(Buffer.from('POST /plain HTTP/1.1\r\nHost: localhost\r\n'));
    let n = 0;
    await until('the server to lose patience', async () => {
      if (!over) await connection.write(Buffer.from(`X-${n++}: 1\r\n`));
      return over;
    }, { every: 100 });
    const response = await connection.response();
    if (response) assertAnswer(understood(response), 'timeout');
    score(t, 38, { cases: 1 });
  });

  it('row 38: connections that say nothing are closed', async (t) => {
    const hook = await serve(t, { sources: { plain }, limits: { handshake_timeout: '1s', idle_timeout: '1s' } });
    const silent = await hook.connect({ to: 'tcp' }); // no TLS at all
    await silent.ended();
    const idle = await hook.connect();
    assertAnswer(await hook.send('plain', { connection: idle }), 'accepted');
    assert.equal((await idle.ended()).length, 0);
    score(t, 38, { cases: 2 });
  });

  it('row 38: one address cannot take all connections', async (t) => {
    const hook = await serve(t, { listen: [http()], sources: { plain }, limits: { connections_per_address: 4 } });
    const open = [];
    for (let n = 0; n < 4; n++) {
      const connection = await hook.connect();
      assertAnswer(await hook.send('plain', { connection, id: `c${n}` }), 'accepted');
      open.push(connection);
    }
    const fifth = await hook.connect().catch(() => null);
    if (fifth) {
      await fifth.write(requestBytes({ target: '/plain' }));
      const response = await fifth.response();
      assert.ok(response === null || response.status === 503, `the fifth connection was served: ${response?.status}`);
    }
    assertAnswer(await hook.send('plain', { connection: open[0], id: 'still' }), 'accepted');
    open[1].close();
    await until('a place to be free again', async () => {
      try {
        const connection = await hook.connect();
        return (await hook.send('plain', { connection, id: 'next' })).status === 200;
      } catch {
        return false;
      }
    });
    score(t, 38, { cases: 1 });
  });

  it('row 39: when all memory for bodies is taken, the next one is told to come again, and those on their way end well', async (t) => {
    const hook = await serve(t, { sources: { plain }, limits: { memory: '2400KiB', body: '1MiB', body_timeout: '60s' } });
    const size = 1024 * 1024;
    const bodyOf = (id) => Buffer.from(`{"id":"${id}","pad":"${'x'.repeat(size - 20 - id.length)}"}`);
    const held = [];
    for (const id of ['one', 'two']) {
      const { bytes, body } = head(plain, { body: bodyOf(id) }, (content) => [['Content-Length', String(content.length)]]);
      assert.ok(body.length <= size && body.length > size - 10);
      const connection = await hook.connect();
      connection.write(Buffer.concat([bytes, body.subarray(0, -1)]));
      held.push({ connection, last: body.subarray(-1) });
    }
    // until both were read the third may still find room, so it asks again
    let number = 0;
    const refused = await until('the memory to be taken', async () => {
      const response = await hook.send('plain', { body: bodyOf(`n${number++}`) });
      return response.result !== 'accepted' && response;
    });
    assertAnswer(refused, 'overloaded');
    for (const { connection, last } of held) {
      await connection.write(last);
      assertAnswer(await answer(connection), 'accepted');
    }
    assertAnswer(await hook.send('plain', { body: bodyOf('after') }), 'accepted');
    score(t, 39, { cases: 2 });
  });

  it('row 39: who waits for memory is told to come again in time, however busy the others keep the service', async (t) => {
    const hook = await serve(t, { sources: { plain }, limits: { memory: '2400KiB', body: '1MiB', body_timeout: '60s' } });
    const bodyOf = (id) => Buffer.from(`{"id":"${id}","pad":"${'x'.repeat(1024 * 1024 - 40)}"}`);
    const held = [];
    for (const id of ['one', 'two']) {
      const { bytes, body } = head(plain, { body: bodyOf(id) }, (content) => [['Content-Length', String(content.length)]]);
      const connection = await hook.connect();
      connection.write(Buffer.concat([bytes, body.subarray(0, -1)]));
      held.push({ connection, last: body.subarray(-1) });
    }
    let refused;
    const asked = (async () => {
      for (let n = 0; refused === undefined; n++) {
        const response = await hook.send('plain', { body: bodyOf(`n${n}`), deadline: 60_000 });
        if (response.result !== 'accepted') refused = response;
      }
    })();
    for (let n = 0; refused === undefined; n++) { // each answer wakes the loops
      assertAnswer(await hook.send('plain', { id: `s${n}` }), 'accepted');
      assert.ok(n < 10_000);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await asked;
    assertAnswer(refused, 'overloaded');
    for (const { connection, last } of held) {
      await connection.write(last);
      assertAnswer(await answer(connection), 'accepted');
    }
    score(t, 39, { cases: 1 });
  });

  it('row 38: a hundred connections that stall do not disturb a good one', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { on: ['*/*'], log: {} } } });
    const stalled = [];
    for (let n = 0; n < 100; n++) {
      const connection = await hook.connect();
      await connection.write(Buffer.from(n % 2 ? 'POST /github HTTP/1.1\r\nHost' : 'POST /github HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{'));
      stalled.push(connection);
    }
    for (let n = 0; n < 50; n++) assertAnswer(await hook.send('github', { id: `g${n}` }), 'accepted');
    await hook.idle();
    for (const connection of stalled) connection.close();
    score(t, 38, { cases: 100 });
  });

  it('row 39: the memory that a burst took is given back when it is over', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: {} });
    if (sanitizerOf(hook.binary) !== null) return t.diagnostic('a sanitizer keeps what was freed');
    const resident = async () => Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${hook.pid}/status`, 'utf8'))[1]);
    const rest = await resident();
    const connections = await Promise.all(Array.from({ length: 600 }, () => hook.connect()));
    await Promise.all(connections.map((connection, n) => hook.send('github', { connection, id: `b${n}`, body: { filling: 'x'.repeat(60_000) } })));
    const peak = await resident();
    for (const connection of connections) connection.close();
    let now = peak;
    await until('most of it to be given back', async () => {
      now = await resident();
      return now - rest < (peak - rest) / 2;
    }, { say: () => `${rest} KiB at rest, ${peak} KiB at the most, ${now} KiB now` });
  });

  it('row 38: a stranger who is refused without end does not fill the log, and what is not told is counted', async (t) => {
    const hook = await serve(t, { sources: { github }, listen: [http()] });
    const REQUEST = Buffer.from('GET /n HTTP/1.1\r\nHost: x\r\n\r\n');
    const count = 12_000;
    const connection = await hook.connect();
    for (let sent = 0; sent < count; sent += 100) {
      await connection.write(Buffer.concat(Array.from({ length: 100 }, () => REQUEST)));
      for (let n = 0; n < 100; n++) assertAnswer(await connection.response().then((response) => understood(response, 'GET')), 'not_found');
    }
    connection.close();
    const told = () => hook.log.filter((entry) => entry.event === 'request.rejected');
    assert.ok(told().length < count / 2, `${told().length} lines`);
    // Each loop tells the next one in its time, and with it how many it did not.
    await until('what was not told to be counted', async () => {
      const fresh = await hook.connect(); // to any loop
      await hook.request({ method: 'GET', target: '/n', connection: fresh });
      fresh.close();
      const lines = told();
      return lines.length + lines.reduce((sum, entry) => sum + (entry.untold ?? 0), 0) >= count;
    }, { every: 50 });
    assert.match((await hook.admin('/metrics')).text, new RegExp(`^hooklatch_[a-z_]+\\{[^}]*not_found[^}]*\\} 1[2-9]\\d{3}$`, 'm'));
    score(t, 38, { cases: count });
  });
});
