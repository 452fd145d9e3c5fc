// The contract of `http`: what a destination is sent, what its answer means, and what the guarantees are worth when it fails.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Webhook } from 'standardwebhooks';
import { score } from '../faults/matrix.mjs';
import { makeCertificate, sharedCertificate } from './certificate.mjs';
import { assertAnswer, Connection, github, plain, prepare, serve, standardSecret, until, within } from './hook.mjs';

const retry = (attempts, more) => ({ attempts, first: '100ms', factor: 1, max: '1s', jitter: 'none', ...more });
const to = (url, { secret, ca, ...keys } = {}) => ({ on: ['*/*'], http: { url, ...(secret && { secret }), ...(ca && { ca }) }, retry: retry(2), ...keys });
const atMostOnce = { guarantee: 'at-most-once', why: 'twice would be worse than never', retry: undefined };
const effectively = { guarantee: 'effectively-once', why: 'it knows our key', destination_deduplicates: true };

// Listens on a loopback address until the test ends. `url` is where, `connections` how many came, `open` those that are there.
async function listen(t, server, { scheme = 'http', host = '127.0.0.1', port = 0, name = host } = {}) {
  const place = { connections: 0, open: new Set() };
  server.on(scheme === 'https' ? 'secureConnection' : 'connection', () => place.connections++);
  server.on('connection', (socket) => {
    place.open.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => place.open.delete(socket));
  });
  server.listen(port, host);
  await once(server, 'listening');
  place.port = server.address().port;
  place.url = `${scheme}://${name}:${place.port}/in?a=1`;
  place.close = () => new Promise((resolve) => {
    server.close(resolve);
    for (const socket of place.open) socket.destroy();
  });
  t.after(() => server.listening && place.close());
  return place;
}

// A destination that notes every request, whole, and then answers: `answer` is a status, or called with the response, the request and its number.
// `http2`: it offers HTTP/2 beside HTTP/1.1.
async function destination(t, answer = 200, { pair, http2: offers = false, ...where } = {}) {
  const requests = [];
  const note = async (request, response) => {
    const parts = [];
    request.on('error', () => {});
    response.on('error', () => {});
    for await (const part of request) parts.push(part);
    const noted = { url: request.url, method: request.method, headers: request.headers, body: Buffer.concat(parts), wall: Date.now(), time: performance.now(), socket: request.socket, version: request.httpVersion, session: request.stream?.session };
    noted.key = request.headers['idempotency-key'];
    noted.attempt = Number(request.headers['hooklatch-attempt']);
    requests.push(noted);
    const { end } = response;
    response.end = (...words) => {
      noted.answered = performance.now(); // before the other side can have it
      return end.apply(response, words);
    };
    if (typeof answer === 'function') await answer(response, noted, requests.length);
    else response.writeHead(answer).end();
  };
  const caught = (request, response) => note(request, response).catch(() => {});
  const keys = pair && { cert: pair.certificate, key: pair.key };
  const server = offers ? http2.createSecureServer({ ...keys, allowHTTP1: true }, caught) : pair ? https.createServer(keys, caught) : http.createServer(caught);
  server.on('sessionError', () => {});
  const place = await listen(t, server, { scheme: pair ? 'https' : 'http', ...where });
  return Object.assign(place, { requests, of: (key) => requests.filter((request) => request.key === key) });
}

// A destination below HTTP: `talk` is called with each connection when a request's head has come, and how many came before it.
async function wire(t, talk) {
  let count = 0;
  const place = await listen(t, net.createServer((socket) => {
    let head = '';
    const hear = (bytes) => {
      head += bytes.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.off('data', hear);
      talk(socket, count++);
    };
    socket.on('data', hear);
  }));
  return place;
}
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
const hang = () => {};

async function deliveryOf(hook, source, id, handler) {
  const [event] = await hook.json('events', 'list', '--source', source, '--id', id);
  return event.deliveries.find((delivery) => delivery.handler === handler);
}
const attemptsOf = (hook, id, handler) => hook.sql(`select round, attempt, result, error_type, error, duration_ms, output from attempts where event_id = '${id}' and handler = '${handler}' order by id`);
async function fill(t, options, files) {
  const hook = await prepare(t, options);
  for (const [name, text] of Object.entries(files)) await writeFile(hook.path(name), text);
  return hook.start();
}
function ask(hook) {
  hook.mortal = true; // the test looks at how it ends
  process.kill(hook.pid, 'SIGTERM');
}
const ended = async (hook) => assert.deepEqual(await within('the service to end', hook.death, { say: () => hook.tail() }), { code: 0, signal: null });
const shut = (hook) => until('the door to be shut', () => Connection.open(hook.address()).then((connection) => connection.close(), (error) => error.code === 'ECONNREFUSED'));

describe('http handler: the request', { timeout: 180_000, concurrency: 3 }, () => {
  it('is a POST of the body byte for byte with its type, a key, its numbers and a trace, and nothing of the sender’s secrets', async (t) => {
    const place = await destination(t);
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url) } });
    const bodies = {
      json: [Buffer.from('{"a":"\\u0000","b":1e400}\r\n'), 'application/json; charset=utf-8'],
      bytes: [Buffer.from(Array.from({ length: 512 }, (_, n) => n % 256)), 'application/x-anything'],
      empty: [Buffer.alloc(0), 'text/plain'],
      big: [Buffer.alloc(5 * 1024 * 1024, 'hooklatch '), 'application/octet-stream'],
    };
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    for (const [id, [body, type]] of Object.entries(bodies)) {
      const headers = { 'Content-Type': type, traceparent: `00-${trace}-00f067aa0ba902b7-01`, Authorization: 'Bearer abc', Cookie: 'a=b', 'X-Own': '1' };
      assertAnswer(await hook.send('github', { id, body, headers }), 'accepted', id);
      await hook.settled(`github/${id}`, { state: 'done' });
      const [request, ...more] = place.of(`github/${id}/h`);
      assert.deepEqual(more, [], id);
      assert.deepEqual([request.method, request.url], ['POST', '/in?a=1'], id);
      assert.ok(request.body.equals(body), `the body of ${id}`);
      assert.equal(request.headers['content-type'], type, id);
      assert.equal(request.headers['content-length'], String(body.length), id);
      assert.equal(request.headers['hooklatch-attempt'], '1', id);
      assert.equal(request.headers['hooklatch-sequence'], String((await hook.event(`github/${id}`)).seq), id);
      const [version, traceId, parent, flags] = request.headers.traceparent.split('-');
      assert.deepEqual([version, traceId, flags], ['00', trace, '01'], id);
      assert.match(parent, /^(?!0{16})[0-9a-f]{16}$/);
      assert.notEqual(parent, '00f067aa0ba902b7', 'a span of its own');
      for (const name of ['authorization', 'cookie', 'x-own', 'x-hub-signature-256', 'webhook-id', 'webhook-signature', 'expect', 'transfer-encoding']) assert.equal(request.headers[name], undefined, `${name} of ${id}`);
    }
  });

  it('has a type and a trace of its own when the sender gave none', async (t) => {
    const place = await destination(t, (response, _, n) => response.writeHead(n === 1 ? 503 : 200).end());
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url) } });
    await hook.send('github', { id: 'e1', headers: { 'Content-Type': null, traceparent: '00-00000000000000000000000000000000-00f067aa0ba902b7-01' } });
    await hook.settled('github/e1', { state: 'done' });
    const traces = place.requests.map((request) => request.headers.traceparent);
    for (const text of traces) assert.match(text, /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/);
    assert.equal(traces[0].split('-')[1], traces[1].split('-')[1], 'one trace over all tries');
    assert.doesNotMatch(place.requests[0].headers['content-type'] ?? '', /urlencoded/, 'what a client library would claim');
  });

  it('passes a long Content-Type on as well', async (t) => {
    const place = await destination(t);
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url) } });
    const type = `multipart/related; boundary="${'x'.repeat(5000)}"`;
    assertAnswer(await hook.send('github', { id: 'e1', headers: { 'Content-Type': type } }), 'accepted');
    await hook.settled('github/e1', { state: 'done' });
    assert.equal(place.requests[0].headers['content-type'], type);
  });

  it('has the same key, sequence and trace on every try and after a replay; the attempts count from one in each round', async (t) => {
    const place = await destination(t, (response, _, n) => response.writeHead(n < 7 ? 500 : 200).end());
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { retry: retry(3) }) } });
    await hook.send('github', { id: 'e1', headers: { 'Content-Type': 'text/x-own' } });
    await hook.settled('github/e1', { state: 'dead' });
    await hook.ok('dead', 'replay', 'github/e1/h', '--wait');
    await until('the second death', async () => place.requests.length === 6 && (await hook.deliveries('github/e1'))[0].state === 'dead');
    await hook.ok('dead', 'replay', 'github/e1/h');
    await hook.settled('github/e1', { state: 'done' });
    assert.deepEqual(place.requests.map((request) => request.attempt), [1, 2, 3, 1, 2, 3, 1]);
    assert.deepEqual([...new Set(place.requests.map((request) => request.key))], ['github/e1/h']);
    for (const name of ['hooklatch-sequence', 'content-type']) assert.equal(new Set(place.requests.map((request) => request.headers[name])).size, 1, name);
    assert.equal(new Set(place.requests.map((request) => request.headers.traceparent.split('-')[1])).size, 1, 'one trace');
    assert.equal(new Set(place.requests.map((request) => request.headers.traceparent.split('-')[2])).size, 7, 'a span for each try');
    assert.equal(new Set(place.requests.map((request) => request.body.toString())).size, 1);
  });

  it('has a key of visible ASCII, and a digest where it would be longer than 255 bytes', async (t) => {
    const place = await destination(t);
    const hook = await serve(t, { sources: { plain }, handlers: { h: to(place.url) } });
    const sha = (text) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
    const keys = {
      'plain-1': 'plain/plain-1/h',
      'a b': 'plain/a%20b/h',
      'Zoë': 'plain/Zo%C3%AB/h',
      東京: 'plain/%E6%9D%B1%E4%BA%AC/h',
      '😀': 'plain/%F0%9F%98%80/h',
      'x/y?z&"\\~!{}': 'plain/x/y?z&"\\~!{}/h',
      '../..': 'plain/../../h',
      [`s${'1'.repeat(246)}`]: `plain/s${'1'.repeat(246)}/h`,
      [`t${'2'.repeat(247)}`]: sha(`plain/t${'2'.repeat(247)}/h`),
      [`u${'3'.repeat(511)}`]: sha(`plain/u${'3'.repeat(511)}/h`),
      [`v${'é'.repeat(120)}`]: sha(`plain/v${'%C3%A9'.repeat(120)}/h`),
    };
    for (const id of Object.keys(keys)) assertAnswer(await hook.send('plain', { id }), 'accepted', id);
    await hook.idle();
    assert.deepEqual(place.requests.map((request) => request.key).sort(), Object.values(keys).sort());
  });

  it('is signed as Standard Webhooks on every try, with a secret from the environment or a file', async (t) => {
    const place = await destination(t, (response, { attempt }) => response.writeHead(attempt === 1 ? 503 : 200).end());
    const secrets = { environment: standardSecret('environment'), file: standardSecret('file'), bare: standardSecret('bare').replace('whsec_', '') };
    const hook = await prepare(t, {
      sources: { github, plain },
      handlers: {
        environment: to(place.url, { secret: { env: 'DESTINATION_SECRET' } }),
        file: to(place.url, { secret: { file: 'destination.secret' } }),
        bare: to(place.url, { secret: { file: 'bare.secret' } }),
        unsigned: to(place.url),
      },
      env: { DESTINATION_SECRET: secrets.environment },
    });
    for (const text of Object.values(secrets)) hook.keepSecret(text);
    await writeFile(hook.path('destination.secret'), `${secrets.file}\n`);
    await writeFile(hook.path('bare.secret'), secrets.bare);
    await hook.start();
    const ids = ['e1', 'Zoë 1', 'x'.repeat(400)];
    for (const id of ids) assertAnswer(await hook.send('plain', { id, body: { text: 'Zoë 東京' } }), 'accepted');
    await hook.idle();
    assert.equal(place.requests.length, ids.length * 4 * 2);
    const seen = Object.fromEntries(Object.keys(hook.config.handlers).map((name) => [name, 0]));
    for (const request of place.requests) {
      const signer = Object.keys(secrets).find((name) => {
        try {
          new Webhook(secrets[name]).verify(request.body, request.headers);
          return true;
        } catch {
          return false;
        }
      });
      seen[signer ?? 'unsigned']++;
      assert.equal(request.headers['webhook-id'], signer && request.key);
      assert.equal(request.headers['webhook-signature'] === undefined, signer === undefined, 'a signature that no secret made');
      if (signer && !request.key.startsWith('sha256:')) assert.ok(request.key.endsWith(`/${signer}`), 'signed with the secret of another handler');
      if (signer) assert.ok(Math.abs(Number(request.headers['webhook-timestamp']) * 1000 - request.wall) < 60_000, 'the time of the try');
    }
    assert.deepEqual(seen, { environment: 6, file: 6, bare: 6, unsigned: 6 });
    assert.ok(!(await hook.ok('config', 'show')).includes(secrets.file));
  });

  it('goes over a connection that is kept, with and without TLS', async (t) => {
    const open = await destination(t);
    const safe = await destination(t, 200, { pair: await sharedCertificate() });
    const hook = await serve(t, { sources: { github }, handlers: { open: to(open.url), safe: to(safe.url, { ca: 'tls/cert.pem' }) } });
    for (let n = 0; n < 20; n++) {
      await hook.send('github', { id: `n${n}` });
      await hook.settled(`github/n${n}`, { state: 'done' });
    }
    for (const [name, place] of Object.entries({ open, safe })) {
      assert.equal(place.requests.length, 20, name);
      assert.ok(place.connections <= 5, `${name}: 20 deliveries took ${place.connections} connections`);
    }
  });

  it('is not held up by a destination that closes its connections', async (t) => {
    const place = await destination(t, (response) => response.writeHead(200, { Connection: 'close' }).end('thanks'));
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url) } });
    for (let n = 0; n < 5; n++) {
      await hook.send('github', { id: `n${n}` });
      const [{ attempts }] = await hook.settled(`github/n${n}`, { state: 'done' });
      assert.equal(attempts, 1);
    }
    assert.equal(place.connections, 5);
  });

  it('takes another connection when the kept one was closed meanwhile', async (t) => {
    const place = await destination(t);
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url) } });
    for (let n = 0; n < 5; n++) {
      await hook.send('github', { id: `n${n}` });
      const [{ attempts }] = await hook.settled(`github/n${n}`, { state: 'done' });
      assert.equal(attempts, 1);
      for (const socket of place.open) socket.end();
      await until('the connection to be closed', () => [...place.open].every((socket) => socket.writableFinished));
    }
    assert.equal(place.requests.length, 5);
  });

  it('goes where a reloaded configuration says, a waiting one as well, with the secret that it names', async (t) => {
    const before = await destination(t, 503);
    const after = await destination(t);
    const text = standardSecret('after');
    const hook = await fill(t, { sources: { github }, handlers: { h: to(before.url, { retry: retry(3, { first: '2s', max: '2s' }) }) } }, { 'after.secret': text });
    hook.keepSecret(text);
    await hook.send('github', { id: 'e1' });
    await until('the first failure', async () => (await hook.deliveries('github/e1'))[0]?.last_error);
    await hook.reload({ handlers: { h: to(after.url, { secret: { file: 'after.secret' } }) } });
    const [{ attempts }] = await hook.settled('github/e1', { state: 'done' });
    assert.equal(attempts, 2);
    assert.equal(before.requests.length, 1);
    assert.deepEqual(after.requests.map((request) => [request.key, request.attempt]), [['github/e1/h', 2]]);
    new Webhook(text).verify(after.requests[0].body, after.requests[0].headers);
  });

  it('speaks HTTP/2 where the destination does', async (t) => {
    const pair = await sharedCertificate();
    const requests = [];
    const server = http2.createSecureServer({ cert: pair.certificate, key: pair.key });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      stream.resume().once('end', () => {
        requests.push(headers);
        stream.respond({ ':status': headers['hooklatch-attempt'] === '1' ? 503 : 200 });
        stream.end();
      });
    });
    server.on('sessionError', () => {});
    const place = await listen(t, server, { scheme: 'https' });
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { ca: 'tls/cert.pem' }) } });
    await hook.send('github', { id: 'e1' });
    const [{ attempts }] = await hook.settled('github/e1', { state: 'done' });
    assert.equal(attempts, 2);
    assert.deepEqual(requests.map((headers) => [headers['idempotency-key'], headers['hooklatch-attempt']]), [['github/e1/h', '1'], ['github/e1/h', '2']]);
  });

  // Sends many events, one at a time and at once, each of which fails once, and looks at every request.
  async function exchanges(t, place, version) {
    const secret = standardSecret('versions');
    const hook = await fill(t, {
      sources: { github },
      handlers: { h: to(place.url, { ca: 'tls/cert.pem', secret: { file: 'destination.secret' }, concurrency: 1 }) },
    }, { 'destination.secret': secret });
    hook.keepSecret(secret);
    const trace = (n) => String(n + 1).padStart(32, 'a');
    const bodies = { empty: Buffer.alloc(0), big: Buffer.from(`{"big":"${'hooklatch '.repeat(100_000)}"}`), odd: Buffer.from([0, 255, 254, 13, 10, 0]) };
    for (let n = 0; n < 12; n++) bodies[`n${n}`] = Buffer.from(`{"n":${n}}`);
    const ids = Object.keys(bodies);
    const send = async (id) => {
      const headers = { 'Content-Type': `application/${id}`, traceparent: `00-${trace(ids.indexOf(id))}-00f067aa0ba902b7-01` };
      assertAnswer(await hook.send('github', { id, body: bodies[id], headers }), 'accepted', id);
    };
    for (const id of ids.slice(0, 6)) {
      await send(id);
      await hook.settled(`github/${id}`, { state: 'done' });
    }
    await Promise.all(ids.slice(6).map(send));
    await hook.idle();
    assert.equal(place.requests.length, 2 * ids.length);
    for (const [n, id] of ids.entries()) {
      const requests = place.of(`github/${id}/h`);
      assert.deepEqual(requests.map((request) => request.attempt), [1, 2], id);
      for (const request of requests) {
        assert.deepEqual([request.version, request.method, request.url], [version, 'POST', '/in?a=1'], id);
        assert.ok(request.body.equals(bodies[id]), `the body of ${id}`);
        assert.equal(request.headers['content-type'], `application/${id}`);
        assert.equal(request.headers['content-length'], String(bodies[id].length), id);
        assert.equal(request.headers['hooklatch-sequence'], String((await hook.event(`github/${id}`)).seq), id);
        assert.equal(request.headers.traceparent.split('-')[1], trace(n), id);
        assert.equal(request.headers['webhook-id'], `github/${id}/h`);
        assert.match(request.headers['webhook-signature'], /^v1,/, id);
        if (id !== 'empty' && id !== 'odd') new Webhook(secret).verify(request.body, request.headers); // it reads JSON alone
        for (const name of ['x-hub-signature-256', 'expect', 'transfer-encoding', 'upgrade', 'http2-settings']) assert.equal(request.headers[name], undefined, `${name} of ${id}`);
      }
    }
    return hook;
  }
  const onceBusy = (response, { attempt }) => response.writeHead(attempt === 1 ? 503 : 200).end('thanks');

  it('speaks HTTP/2 where it is offered beside HTTP/1.1, with all that a request has', async (t) => {
    const place = await destination(t, onceBusy, { pair: await sharedCertificate(), http2: true });
    await exchanges(t, place, '2.0');
  });

  it('speaks HTTP/1.1 over TLS where nothing else is offered', async (t) => {
    const place = await destination(t, onceBusy, { pair: await sharedCertificate() });
    await exchanges(t, place, '1.1');
  });

  it('goes over one connection of HTTP/2 from event to event', async (t) => {
    const place = await destination(t, 200, { pair: await sharedCertificate(), http2: true });
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { ca: 'tls/cert.pem' }) } });
    for (let n = 0; n < 20; n++) {
      await hook.send('github', { id: `n${n}` });
      await hook.settled(`github/n${n}`, { state: 'done' });
    }
    assert.deepEqual(place.requests.map((request) => request.version), Array.from({ length: 20 }, () => '2.0'));
    // each worker has a connection of its own, and at most four idle ones are kept
    assert.ok(place.connections <= 5, `20 deliveries took ${place.connections} connections`);
    assert.ok(place.requests.filter((request) => request.session === place.requests[0].session).length > 1, 'no connection was used again');
  });

  it('takes another connection when the one of HTTP/2 was closed meanwhile', async (t) => {
    const place = await destination(t, 200, { pair: await sharedCertificate(), http2: true });
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { ca: 'tls/cert.pem' }) } });
    for (let n = 0; n < 5; n++) {
      await hook.send('github', { id: `n${n}` });
      const [{ attempts }] = await hook.settled(`github/n${n}`, { state: 'done' });
      assert.equal(attempts, 1);
      place.requests.at(-1).session.destroy();
      await until('the connection to be closed', () => place.open.size === 0);
    }
    assert.deepEqual(place.requests.map((request) => request.version), Array.from({ length: 5 }, () => '2.0'));
    assert.equal(place.connections, 5);
  });
});

describe('http handler: the answer', { timeout: 180_000, concurrency: 3 }, () => {
  const statuses = {
    done: [200, 201, 202, 204, 206, 299],
    again: [408, 425, 429, 500, 501, 502, 503, 504, 599],
    dead: [300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 407, 409, 410, 412, 413, 415, 418, 422, 451, 499],
  };

  it('rows 30, 31: each status means what was promised, and no redirect is followed', async (t) => {
    const place = await destination(t, (response, { body }) => {
      const { status } = JSON.parse(body);
      response.writeHead(status, { ...(status >= 300 && status < 400 && { Location: '/elsewhere' }), ...(status === 401 && { 'WWW-Authenticate': 'Basic realm="x"' }) });
      response.end([204, 304].includes(status) ? undefined : `it said ${status}`);
    });
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url) } });
    const all = Object.values(statuses).flat();
    for (const status of all) assertAnswer(await hook.send('github', { id: `s${status}`, body: { status } }), 'accepted');
    await hook.idle();
    for (const [meaning, list] of Object.entries(statuses)) {
      for (const status of list) {
        const [{ state, attempts, last_error: error }] = await hook.deliveries(`github/s${status}`);
        assert.deepEqual([state, attempts], [meaning === 'done' ? 'done' : 'dead', meaning === 'again' ? 2 : 1], String(status));
        assert.equal(place.of(`github/s${status}/h`).length, attempts, `requests for ${status}`);
        if (meaning === 'done') {
          assert.equal(error, null, String(status));
          continue;
        }
        assert.ok(error.includes(String(status)), `last_error of ${status}: ${error}`);
        const tries = await attemptsOf(hook, `s${status}`, 'h');
        assert.deepEqual(tries.map((one) => [one.attempt, one.result]), Array.from({ length: attempts }, (_, n) => [n + 1, 'failed']), String(status));
        await hook.logged((entry) => entry.event === 'attempt.failed' && entry.event_id === `s${status}` && entry.http_status === status && entry.attempt === attempts);
      }
    }
    assert.deepEqual(place.requests.filter((request) => request.url !== '/in?a=1' || request.method !== 'POST'), []);
    score(t, 30, { cases: statuses.dead.filter((status) => status < 400).length });
    score(t, 31, { cases: all.length });
  });

  it('row 31: retry_on adds to the retries and takes nothing away', async (t) => {
    const place = await destination(t, (response, { body }) => response.writeHead(JSON.parse(body).status).end());
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { retry_on: [409, 302, 404] }) } });
    for (const status of [409, 302, 404, 503, 410, 301, 200]) await hook.send('github', { id: `s${status}`, body: { status } });
    await hook.idle();
    const rows = await hook.sql('select event_id, state, attempts from deliveries order by event_id');
    assert.deepEqual(rows.map((row) => Object.values(row).join(' ')), ['s200 done 1', 's301 dead 1', 's302 dead 2', 's404 dead 2', 's409 dead 2', 's410 dead 1', 's503 dead 2']);
    score(t, 31, { cases: rows.length });
  });

  it('a breaker counts what says something about the destination, and nothing else', async (t) => {
    const place = await destination(t, (response, { body }) => response.writeHead(JSON.parse(body).status).end());
    const closed = await destination(t);
    await closed.close();
    const breaker = { failures: 2, cooldown: '10m', max_cooldown: '10m' };
    const counting = [401, 403, 404, 408, 425, 429, 500, 503];
    const silent = [400, 409, 410, 413, 415, 422];
    const handlers = { closed: to(closed.url, { breaker, retry: retry(1) }) };
    for (const status of [...counting, ...silent]) handlers[`s${status}`] = to(place.url, { on: [`github/s${status}`], breaker, retry: retry(1) });
    handlers.mixed = to(place.url, { on: ['github/mixed'], breaker, retry: retry(1) });
    handlers.reset = to(place.url, { on: ['github/reset'], breaker, retry: retry(1) });
    handlers.closed.on = ['github/closed'];
    const hook = await serve(t, { sources: { github }, handlers });
    const send = async (name, id, status) => {
      await hook.send('github', { id: `${name}-${id}`, type: name, body: { status } });
      await hook.settled(`github/${name}-${id}`);
    };
    const opened = (name) => hook.logged((entry) => entry.event === 'breaker.opened' && entry.handler === name);
    const open = () => hook.log.filter((entry) => entry.event === 'breaker.opened').map((entry) => entry.handler).sort();
    for (const status of counting) {
      for (const id of [1, 2]) await send(`s${status}`, id, status);
      await opened(`s${status}`);
      await hook.send('github', { id: `s${status}-3`, type: `s${status}`, body: { status } });
    }
    for (const status of silent) for (const id of [1, 2, 3]) await send(`s${status}`, id, status);
    for (const [id, status] of [500, 422, 503].entries()) await send('mixed', id, status);
    await opened('mixed');
    for (const [id, status] of [500, 200, 503].entries()) await send('reset', id, status);
    for (const id of [1, 2]) await send('closed', id, 0);
    await opened('closed');
    assert.deepEqual(open(), [...counting.map((status) => `s${status}`), 'closed', 'mixed'].sort());
    for (const status of counting) assert.deepEqual([place.of(`github/s${status}-3/s${status}`).length, (await hook.deliveries(`github/s${status}-3`))[0].state], [0, 'pending'], `${status} behind an open breaker`);
  });

  it('what the destination said is kept with the try and shown without harm to a terminal', async (t) => {
    const place = await destination(t, (response) => response.writeHead(422, { 'Content-Type': 'text/plain' }).end(Buffer.concat([Buffer.from('no such customer \x1b[2J"\\'), Buffer.from([0xff, 0xfe, 0])])));
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url) } });
    await hook.send('github', { id: 'e1' });
    await hook.settled('github/e1', { state: 'dead' });
    const shown = await hook.ok('dead', 'show', 'github/e1/h');
    assert.match(shown, /422/);
    assert.match(shown, /no such customer/);
    assert.ok(!shown.includes('\x1b'));
    assert.match(JSON.stringify(await hook.json('dead', 'show', 'github/e1/h')), /no such customer/);
  });

  it('row 29: a transport that fails is tried again, with an error that says what happened', async (t) => {
    const first = (fault) => wire(t, (socket, n) => (n === 0 ? fault(socket) : socket.end(ok)));
    const faults = {
      reset: (socket) => socket.resetAndDestroy(),
      silent: (socket) => socket.end(),
      reset_within: (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc', () => socket.resetAndDestroy()),
      short: (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc'),
      unchunked: (socket) => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'),
      lost_chunk: (socket) => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'),
      garbage: (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
      binary: (socket) => socket.end(Buffer.from([0, 255, 254, 10, 27, 91, 50, 74])),
      headless: (socket) => socket.end('hello\r\n\r\n'),
    };
    const handlers = {};
    for (const [name, fault] of Object.entries(faults)) handlers[name] = to((await first(fault)).url);
    const hook = await serve(t, { sources: { github }, handlers });
    assertAnswer(await hook.send('github', { id: 'e1' }), 'accepted');
    for (const { handler, state, attempts } of await hook.settled('github/e1')) assert.deepEqual([state, attempts], ['done', 2], handler);
    for (const name of Object.keys(faults)) {
      const [failed, good] = await attemptsOf(hook, 'e1', name);
      assert.deepEqual([failed.attempt, failed.result, good.attempt, good.result], [1, 'failed', 2, 'succeeded'], name);
      assert.match(failed.error, /[a-z]{3,} .*[a-z]{3,}/i, name);
      assert.ok(failed.error_type, name);
    }
    score(t, 29, { cases: Object.keys(faults).length });
  });

  it('a head that ends in the middle is no answer, whatever its status', async (t) => {
    const place = await wire(t, (socket, n) => (n === 0 ? socket.end('HTTP/1.1 200 OK\r\nContent-Le') : socket.end(ok)));
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url) } });
    await hook.send('github', { id: 'e1' });
    const [{ attempts }] = await hook.settled('github/e1', { state: 'done' });
    assert.equal(attempts, 2);
  });

  it('row 29: a port that is closed is named, and used when it opens', async (t) => {
    const before = await destination(t);
    await before.close();
    const hook = await serve(t, { sources: { github }, handlers: { h: to(before.url, { retry: retry(200) }) } });
    await hook.send('github', { id: 'e1' });
    const { last_error: error } = await until('the first failure', async () => (await hook.deliveries('github/e1')).find((row) => row.last_error));
    assert.match(error, new RegExp(`127\\.0\\.0\\.1.*${before.port}.*refused|127\\.0\\.0\\.1.*${before.port}.*connect`, 'i'));
    const place = await destination(t, 200, { port: before.port });
    const [{ attempts }] = await hook.settled('github/e1', { state: 'done' });
    assert.ok(attempts > 1);
    assert.equal(place.requests[0].attempt, attempts);
    score(t, 29, { cases: 1 });
  });

  it('an answer that comes before the body was taken counts', async (t) => {
    const answers = { refused: '413 Content Too Large', busy: '503 Busy' };
    const handlers = {};
    for (const [name, status] of Object.entries(answers)) {
      const place = await wire(t, (socket) => {
        socket.pause();
        socket.write(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      });
      handlers[name] = to(place.url, { timeout: '10s' });
    }
    const hook = await serve(t, { sources: { github }, handlers });
    assertAnswer(await hook.send('github', { id: 'e1', body: Buffer.alloc(8 * 1024 * 1024, 'x') }), 'accepted');
    const rows = Object.fromEntries((await hook.settled('github/e1')).map((row) => [row.handler, row]));
    assert.equal(rows.refused.attempts, 1, rows.refused.last_error);
    assert.match(rows.refused.last_error, /413/);
    assert.equal(rows.busy.attempts, 2);
    assert.match(rows.busy.last_error, /503/);
  });

  it('a destination that resets in the middle of a large body does no harm', async (t) => {
    const pair = await sharedCertificate();
    const open = await wire(t, (socket) => socket.resetAndDestroy());
    const server = https.createServer({ cert: pair.certificate, key: pair.key }, (request) => request.once('data', () => request.socket.destroy()));
    const safe = await listen(t, server, { scheme: 'https' });
    const hook = await serve(t, { sources: { github }, handlers: { open: to(open.url), safe: to(safe.url, { ca: 'tls/cert.pem' }) } });
    await hook.send('github', { id: 'e1', body: Buffer.alloc(8 * 1024 * 1024, 'x') });
    for (const { handler, attempts, last_error: error } of await hook.settled('github/e1', { state: 'dead' })) {
      assert.equal(attempts, 2, handler);
      assert.ok(error, handler);
    }
    assertAnswer(await hook.send('github', { id: 'e2' }), 'accepted');
  });

  it('row 31: a Retry-After is waited for, in seconds and as a date', async (t) => {
    let promised;
    const place = await destination(t, (response, { attempt, key }) => {
      if (attempt > 1) return response.writeHead(200).end();
      promised = new Date(Math.ceil(Date.now() / 1000) * 1000 + 2000);
      return response.writeHead(key.includes('seconds') ? 429 : 503, { 'Retry-After': key.includes('seconds') ? '2' : promised.toUTCString() }).end();
    });
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { retry: retry(2, { max: '1h' }) }) } });
    await hook.send('github', { id: 'seconds' });
    await hook.send('github', { id: 'date' });
    await hook.settled('github/seconds', { state: 'done' });
    await hook.settled('github/date', { state: 'done' });
    const [one, two] = place.of('github/seconds/h');
    assert.ok(two.time - one.answered >= 2000, `2 s were asked for, ${two.time - one.answered} ms were waited`);
    const [, again] = place.of('github/date/h');
    assert.ok(again.wall >= promised.getTime(), `asked not before ${promised.toISOString()}, came at ${new Date(again.wall).toISOString()}`);
    score(t, 31, { cases: 2 });
  });

  const MINUTE = 60_000;
  const date = (ms) => new Date(Date.now() + ms).toUTCString();
  // What is asked for, and from when to when the next try may be planned; without it the wait is ten minutes, the most is a day.
  async function planned(t, cases) {
    const place = await destination(t, (response, { key }) => {
      const value = cases[key.split('/')[1]][0];
      response.writeHead(503, value === null ? {} : { 'Retry-After': value }).end();
    });
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { concurrency: 1, retry: { attempts: 3, first: '10m', factor: 1, max: '24h', jitter: 'none' } }) } });
    for (const [id, [, least, most]] of Object.entries(cases)) {
      const before = Date.now();
      await hook.send('github', { id });
      const row = await until(`the first failure of ${id}`, async () => (await hook.deliveries(`github/${id}`)).find((one) => one.state === 'pending' && one.last_error));
      const wait = Date.parse(row.next_attempt_at) - before;
      assert.ok(wait >= least && wait < most, `Retry-After: ${cases[id][0]} leads to a wait of ${Math.round(wait / 1000)} s, expected ${least / 1000} to ${most / 1000}`);
    }
    score(t, 31, { cases: Object.keys(cases).length });
  }
  const own = [10 * MINUTE, 11 * MINUTE];

  it('row 31: a Retry-After binds within the maximum, is never shorter than our own wait, and holds for its answer alone', (t) => planned(t, {
    hour: ['3600', 60 * MINUTE, 61 * MINUTE],
    none: [null, ...own],
    short: ['1', ...own],
    zero: ['0', ...own],
    day: ['86400', 1440 * MINUTE, 1441 * MINUTE],
    week: ['604800', 1440 * MINUTE, 1441 * MINUTE],
    date: [date(60 * MINUTE), 59 * MINUTE, 61 * MINUTE],
    far: ['Fri, 31 Dec 2199 23:59:59 GMT', 1440 * MINUTE, 1441 * MINUTE],
    past: ['Sun, 06 Nov 1994 08:49:37 GMT', ...own],
    again: [null, ...own],
  }));

  it('row 31: a Retry-After too large for any counter is the maximum', (t) => planned(t, {
    large: ['9223372036854775807', 1440 * MINUTE, 1441 * MINUTE],
    huge: ['99999999999999999999999', 1440 * MINUTE, 1441 * MINUTE],
    billion: ['1000000000', 1440 * MINUTE, 1441 * MINUTE],
  }));

  it('row 31: a Retry-After that is no time is ignored', (t) => planned(t, { soon: ['soon', ...own], empty: ['', ...own], minus: ['-7200', ...own], hex: ['0xffff', ...own], words: ['tomorrow at noon', ...own] }));

  it('row 31: a Retry-After that only begins like a number is ignored', (t) => planned(t, { unit: ['7200 seconds', ...own], list: ['7200, 7200', ...own], tail: ['7200x', ...own] }));

  it('row 30: the timeout is total: what drips or hangs is cut, and not before', async (t) => {
    const drip = (socket, text) => {
      const timer = setInterval(() => socket.write(text), 50);
      socket.once('close', () => clearInterval(timer));
    };
    const places = {
      mute: await wire(t, hang),
      head: await wire(t, (socket) => socket.write('HTTP/1.1 200 OK\r\nX: ', () => drip(socket, 'x'))),
      fields: await wire(t, (socket) => socket.write('HTTP/1.1 200 OK\r\n', () => drip(socket, 'X: y\r\n'))),
      body: await wire(t, (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n', () => drip(socket, 'x'))),
      endless: await wire(t, (socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n', () => drip(socket, 'x'))),
      interim: await wire(t, (socket) => drip(socket, 'HTTP/1.1 100 Continue\r\n\r\n')),
      deaf: await listen(t, net.createServer((socket) => socket.resume())), // TLS is spoken to it
    };
    const handlers = Object.fromEntries(Object.entries(places).map(([name, { url }]) => [name, to(url, { timeout: '1s', retry: retry(1) })]));
    handlers.deaf.http.url = handlers.deaf.http.url.replace('http:', 'https:');
    const hook = await serve(t, { sources: { github }, handlers });
    await hook.send('github', { id: 'e1' });
    for (const { handler, attempts, last_error: error } of await hook.settled('github/e1', { state: 'dead' })) {
      assert.equal(attempts, 1, handler);
      assert.match(error, /time/i, `last_error of ${handler}`);
      const [{ duration_ms: duration }] = await attemptsOf(hook, 'e1', handler);
      assert.ok(duration >= 999, `${handler} was cut after ${duration} ms`); // whole milliseconds, cut off
    }
    for (const [name, place] of Object.entries(places)) await until(`the connection to ${name} to be cut`, () => place.open.size === 0);
    score(t, 30, { cases: Object.keys(places).length });
  });

  it('row 30: an endless answer is read for a little, and its status counts', async (t) => {
    const sent = {};
    const flood = (status) => wire(t, (socket) => {
      const more = Buffer.alloc(16 * 1024, 'x');
      sent[status] = 0;
      const pour = () => {
        while (!socket.destroyed) {
          sent[status] += more.length;
          if (!socket.write(more)) return socket.once('drain', pour);
        }
      };
      socket.write(`HTTP/1.1 ${status} It\r\n\r\n`, pour);
    });
    const places = { 200: await flood(200), 503: await flood(503), 404: await flood(404) };
    const handlers = Object.fromEntries(Object.entries(places).map(([status, { url }]) => [`s${status}`, to(url, { timeout: '1m' })]));
    const hook = await serve(t, { sources: { github }, handlers });
    await hook.send('github', { id: 'e1' });
    const rows = Object.fromEntries((await hook.settled('github/e1')).map((row) => [row.handler, `${row.state} ${row.attempts}`]));
    assert.deepEqual(rows, { s200: 'done 1', s404: 'dead 1', s503: 'dead 2' });
    for (const [status, place] of Object.entries(places)) {
      await until(`the flood of ${status} to be cut`, () => place.open.size === 0);
      assert.ok(sent[status] < 64 * 1024 * 1024, `${status}: ${sent[status]} bytes were taken`); // most of it is the kernel's buffers
    }
    const [{ output }] = await hook.sql("select length(output) as output from attempts where handler = 's404'");
    assert.ok(output <= 4096, `${output} bytes were kept`);
    assert.match((await hook.deliveries('github/e1', 's404'))[0].last_error, /404/);
    score(t, 30, { cases: Object.keys(places).length });
  });

  it('row 30: an endless head ends too', async (t) => {
    const place = await wire(t, (socket) => {
      const line = `X: ${'y'.repeat(1000)}\r\n`.repeat(16);
      const pour = () => {
        while (!socket.destroyed) if (!socket.write(line)) return socket.once('drain', pour);
      };
      socket.write('HTTP/1.1 200 OK\r\n', pour);
    });
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { timeout: '3s', retry: retry(1) }) } });
    await hook.send('github', { id: 'e1' });
    const [{ last_error: error }] = await hook.settled('github/e1', { state: 'dead' });
    assert.ok(error);
    await until('the flood to be cut', () => place.open.size === 0);
    score(t, 30, { cases: 1 });
  });
});

describe('http handler: TLS', { timeout: 120_000, concurrency: 3 }, () => {
  it('a destination is believed with its own authority, and with nobody else’s', async (t) => {
    const mine = await makeCertificate();
    const place = await destination(t, 200, { pair: mine, name: 'localhost' });
    const elsewhere = await destination(t, 200, { pair: mine, host: '127.0.0.2' });
    const hook = await fill(t, {
      sources: { github },
      handlers: {
        right: to(place.url, { ca: 'mine.pem' }),
        address: to(place.url.replace('localhost', '127.0.0.1'), { ca: 'mine.pem' }),
        system: to(place.url),
        other: to(place.url, { ca: 'tls/cert.pem' }),
        name: to(elsewhere.url, { ca: 'mine.pem' }),
      },
    }, { 'mine.pem': mine.certificate });
    await hook.send('github', { id: 'e1' });
    const rows = Object.fromEntries((await hook.settled('github/e1')).map((row) => [row.handler, row]));
    for (const name of ['right', 'address']) assert.deepEqual([rows[name].state, rows[name].attempts], ['done', 1], rows[name].last_error);
    const errors = { system: /certificate/i, other: /certificate/i, name: /name.*127\.0\.0\.2|127\.0\.0\.2.*name/i };
    for (const [name, error] of Object.entries(errors)) {
      assert.deepEqual([rows[name].state, rows[name].attempts], ['dead', 2], name);
      assert.match(rows[name].last_error, error, name);
    }
    assert.deepEqual(place.requests.map((request) => request.key).sort(), ['github/e1/address', 'github/e1/right'], 'nothing was said to who was not believed');
    assert.equal(elsewhere.requests.length, 0);
  });

  it('an error is text whatever the certificate says', async (t) => {
    const dir = await mkdtemp(path.join(os.tmpdir(), 'hooklatch-test-'));
    t.after(() => rm(dir, { recursive: true }));
    const [key, certificate] = ['key.pem', 'cert.pem'].map((name) => path.join(dir, name));
    await promisify(execFile)('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-utf8', '-subj', `/CN=${'東'.repeat(62)}\x1b`, '-keyout', key, '-out', certificate]);
    const place = await destination(t, 200, { pair: { key: await readFile(key), certificate: await readFile(certificate) } });
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url.replace('127.0.0.1', 'localhost'), { ca: certificate, retry: retry(1) }) } });
    await hook.send('github', { id: 'e1' });
    const [{ last_error: error }] = await hook.settled('github/e1', { state: 'dead' });
    assert.match(error, /certificate.*name/);
    assert.ok(!error.includes('\ufffd'), `last_error is no UTF-8: ${error}`);
    const [letter] = await hook.json('dead', 'list');
    assert.equal(letter.last_error, error);
    assert.ok(!(await hook.ok('dead', 'list')).includes('\x1b'));
  });

  it('a kept connection of one handler is not used by another one that would not believe it', async (t) => {
    const mine = await makeCertificate();
    const place = await destination(t, 200, { pair: mine });
    const hook = await fill(t, { sources: { github }, workers: 1, handlers: {
      right: to(place.url, { on: ['github/right'], ca: 'mine.pem' }),
      system: to(place.url, { on: ['github/wrong'], retry: retry(1) }),
      other: to(place.url, { on: ['github/wrong'], retry: retry(1), ca: 'tls/cert.pem' }),
    } }, { 'mine.pem': mine.certificate });
    for (let n = 0; n < 5; n++) {
      await hook.send('github', { id: `r${n}`, type: 'right' });
      await hook.settled(`github/r${n}`, { state: 'done' });
      await hook.send('github', { id: `w${n}`, type: 'wrong' });
      await hook.settled(`github/w${n}`, { state: 'dead' });
    }
    assert.deepEqual(place.requests.map((request) => request.key), Array.from({ length: 5 }, (_, n) => `github/r${n}/right`));
  });
});

describe('http handler: the guarantees', { timeout: 180_000, concurrency: 3 }, () => {
  it('at-most-once is done before the request, and its outcome says how it went', async (t) => {
    const good = await destination(t);
    const bad = await destination(t, 503);
    const refused = await destination(t, 422);
    const slow = await destination(t, hang);
    const handlers = { good: to(good.url, atMostOnce), bad: to(bad.url, atMostOnce), refused: to(refused.url, atMostOnce), slow: to(slow.url, { ...atMostOnce, timeout: '5m' }) };
    const hook = await serve(t, { sources: { github }, handlers });
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    await until('all to be asked', () => [good, bad, refused, slow].every((place) => place.requests.length === 1));
    assert.deepEqual((await hook.deliveries('github/a')).map((row) => row.state), ['done', 'done', 'done', 'done']);
    const wanted = { good: 'succeeded', bad: 'failed', refused: 'failed', slow: 'unknown' };
    await until('the outcomes', async () => (await hook.sql('select handler, outcome from deliveries')).every((row) => row.outcome === wanted[row.handler]));
    for (const [name, outcome] of Object.entries(wanted)) assert.equal((await deliveryOf(hook, 'github', 'a', name)).outcome, outcome, name);
    assert.match((await hook.deliveries('github/a', 'bad'))[0].last_error, /503/);
    assertAnswer(await hook.send('github', { id: 'a' }), 'duplicate', 'never dead, never revived');
    await hook.kill();
    await hook.start();
    assertAnswer(await hook.send('github', { id: 'b' }), 'accepted');
    await until('the next one to be asked', () => [good, bad, refused, slow].every((place) => place.of(place.requests.at(-1).key).length === 1 && place.requests.length === 2));
    assert.deepEqual((await hook.sql("select handler, outcome from deliveries where event_id = 'a' order by handler")).map((row) => row.outcome), ['failed', 'succeeded', 'failed', 'unknown'].map((_, n) => wanted[Object.keys(wanted).sort()[n]]));
    await slow.close(); // otherwise the drain waits for it
  });

  // A client library likes to repeat a request when a kept connection turns out to be broken.
  const breaking = (t) => {
    const known = new Set();
    return destination(t, (response, request) => {
      const kept = known.has(request.socket);
      known.add(request.socket);
      if (kept) request.socket.destroy();
      else response.writeHead(200).end();
    });
  };
  it('at-most-once is one request, even when a kept connection breaks after it was sent', async (t) => {
    const place = await breaking(t);
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, atMostOnce) } });
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) {
      await hook.send('github', { id });
      await hook.logged((entry) => entry.event_id === id && /^(delivery\.done|attempt\.failed)$/.test(entry.event));
      assert.equal(place.of(`github/${id}/h`).length, 1, `requests for ${id}`);
    }
  });

  it('one try is one request: it is counted before it is repeated', async (t) => {
    const place = await breaking(t);
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { retry: retry(5) }) } });
    for (let n = 0; n < 16; n++) { // a library may count what broke over all that it ever did
      const id = `e${n}`;
      await hook.send('github', { id });
      await hook.settled(`github/${id}`, { state: 'done' });
      const numbers = place.of(`github/${id}/h`).map((request) => request.attempt);
      assert.deepEqual(numbers, numbers.map((_, n) => n + 1), `the attempts that the destination was told for ${id}`);
    }
    const said = hook.log.filter((entry) => entry.event === 'attempt.failed').map((entry) => entry.error);
    assert.ok(said.length > 6, `${said.length} broke`);
    assert.deepEqual([...new Set(said)], ['the connection was closed without an answer']);
  });

  it('effectively-once tries a 409 again; what is done is replayed only with --again and --yes, under a new key', async (t) => {
    const place = await destination(t, (response, { attempt }) => response.writeHead(attempt === 1 ? 409 : 200).end());
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, effectively), plainly: to(place.url, { destination_deduplicates: '1h' }) } });
    await hook.send('github', { id: 'a' });
    for (const { handler, attempts } of await hook.settled('github/a', { state: 'done' })) assert.equal(attempts, 2, handler);
    const keys = () => place.requests.map((request) => `${request.key} ${request.attempt}`).filter((key) => key.startsWith('github/a/h'));
    const state = async () => (await hook.deliveries('github/a', 'h'))[0].state;
    assert.deepEqual(keys(), ['github/a/h 1', 'github/a/h 2']);
    await hook.cli('events', 'replay', 'github/a', '--handler', 'h', '--wait');
    await hook.cli('events', 'replay', 'github/a', '--wait', '--yes');
    assert.equal((await hook.cli('events', 'replay', 'github/a', '--again', '--wait')).code, 7);
    await hook.idle();
    assert.deepEqual(keys(), ['github/a/h 1', 'github/a/h 2'], 'not without being asked for');
    for (const round of [1, 2]) {
      const before = (await hook.sql("select round from deliveries where handler = 'h'"))[0].round;
      await hook.ok('events', 'replay', 'github/a', '--again', '--yes', '--wait');
      await until('the new round', async () => (await hook.sql("select round from deliveries where handler = 'h'"))[0].round === before + 1 && (await state()) === 'done');
      assert.deepEqual(keys().slice(round * 2), [`github/a/h/${before + 1} 1`, `github/a/h/${before + 1} 2`]);
    }
  });

  it('a replay that is refused is not called a success', async (t) => {
    const place = await destination(t);
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, effectively) } });
    await hook.send('github', { id: 'a' });
    await hook.settled('github/a', { state: 'done' });
    const { code, text } = await hook.cli('events', 'replay', 'github/a');
    assert.notEqual(code, 0, text);
    assert.match(text, /--again/);
    const plan = await hook.cli('events', 'replay', 'github/a', '--dry-run');
    assert.doesNotMatch(plan.stdout, /^1 would be replayed/m, 'the plan promises what will be refused');
  });

  it('the replay of a dead one keeps its key while the destination knows it, and needs --again later', async (t) => {
    const place = await destination(t, 422);
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { ...effectively, destination_deduplicates: '3s', timeout: '1s', retry: retry(2, { give_up_after: '1s' }) }) } });
    await hook.send('github', { id: 'a' });
    await hook.settled('github/a', { state: 'dead' });
    const [{ died_at: died }] = await hook.json('dead', 'list');
    await until('the destination to have forgotten', () => Date.now() > Date.parse(died) + 3000);
    await hook.cli('dead', 'replay', 'github/a/h', '--wait');
    await hook.idle();
    assert.equal(place.requests.length, 1, 'a key that the destination has forgotten was used again');
    await hook.ok('dead', 'replay', 'github/a/h', '--again', '--yes', '--wait');
    await until('the second request', () => place.requests.length === 2);
    await hook.settled('github/a', { state: 'dead' });
  });

  it('what cannot be kept, or cannot be read, is refused when the configuration is checked', async (t) => {
    const hook = await prepare(t, { sources: { github }, env: { EMPTY: '', CROOKED: 'not base64!' } });
    const url = 'https://example.com/in';
    const check = async (keys) => {
      await hook.configure({ handlers: { h: { on: ['github/*'], ...keys } } });
      return hook.cli('config', 'check');
    };
    const refused = {
      'effectively-once without a destination that deduplicates': [{ http: { url }, guarantee: 'effectively-once', why: 'x' }, /destination_deduplicates/],
      'deduplicates: false': [{ http: { url }, ...effectively, destination_deduplicates: false }, /destination_deduplicates/],
      'shorter than give_up_after and timeout': [{ http: { url }, ...effectively, destination_deduplicates: '24h' }, /give_up_after/],
      'just shorter': [{ http: { url }, ...effectively, destination_deduplicates: '89s', timeout: '30s', retry: { give_up_after: '1m' } }, /give_up_after/],
      'deduplicates: some day': [{ http: { url }, destination_deduplicates: 'sometimes' }, /destination_deduplicates/],
      'deduplicates without a unit': [{ http: { url }, destination_deduplicates: 3600 }, /destination_deduplicates/],
      'retry with at-most-once': [{ http: { url }, ...atMostOnce, retry: retry(3) }, /retry/],
      'breaker with at-most-once': [{ http: { url }, ...atMostOnce, breaker: { failures: 3 } }, /breaker/],
      'retry_on that is no status': [{ http: { url }, retry_on: [99] }, /retry_on/],
      'retry_on in words': [{ http: { url }, retry_on: ['conflict'] }, /retry_on/],
      'retry_on of another kind': [{ log: {}, retry_on: [409] }, /retry_on/],
      'deduplicates of another kind': [{ log: {}, destination_deduplicates: true }, /destination_deduplicates/],
      'setup of another kind': [{ http: { url }, setup: 'CREATE TABLE x (y)' }, /setup/],
      'two kinds': [{ http: { url }, log: {} }, /exactly one/],
      'no url': [{ http: {} }, /url/],
      'another scheme': [{ http: { url: 'file:///etc/passwd' } }, /url/],
      'no scheme': [{ http: { url: 'example.com' } }, /url/],
      'a key that is not there': [{ http: { url, method: 'PUT' } }, /method/],
      'a secret with two places': [{ http: { url, secret: { env: 'A', file: 'b' } } }, /secret/],
      'a secret without a place': [{ http: { url, secret: {} } }, /secret/],
      'a secret that is not there': [{ http: { url, secret: { env: 'NOT_SET_ANYWHERE' } } }, /NOT_SET_ANYWHERE/],
      'a secret file that is not there': [{ http: { url, secret: { file: 'nowhere' } } }, /nowhere/],
      'an empty secret': [{ http: { url, secret: { env: 'EMPTY' } } }, /secret/],
      'a secret that is no base64': [{ http: { url, secret: { env: 'CROOKED' } } }, /base64/],
    };
    const wrong = [];
    for (const [name, [keys, words]] of Object.entries(refused)) {
      const { code, text } = await check(keys);
      if (code !== 2 || !/^\S+:\d+:\d+: error: /m.test(text) || !words.test(text)) wrong.push(`${name}: ${code} ${text}`);
      assert.ok(!text.includes('not base64!'), 'a secret was shown');
    }
    const accepted = {
      plain: { http: { url } },
      'deduplicates for ever': { http: { url }, ...effectively },
      'long enough': { http: { url }, ...effectively, destination_deduplicates: '90s', timeout: '30s', retry: { give_up_after: '1m' } },
      'at-most-once': { http: { url }, ...atMostOnce },
      'at-least-once that deduplicates for a while': { http: { url }, destination_deduplicates: '1h' },
    };
    for (const [name, keys] of Object.entries(accepted)) {
      const { code, text } = await check(keys);
      if (code !== 0) wrong.push(`${name}: ${code} ${text}`);
    }
    assert.deepEqual(wrong, []);
    for (const guarantee of ['at-most-once', 'effectively-once']) {
      const { code, text } = await check({ http: { url }, destination_deduplicates: true, guarantee });
      assert.equal(code, 0, text);
      assert.match(text, /warning: .*why/, guarantee);
    }
  });

  it('an address or an authority that can never work is refused when the configuration is checked', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    const wrong = [];
    for (const http of [{ url: 'https://' }, { url: 'http:///in' }, { url: 'https://exa mple.com/' }, { url: 'https://example.com:99999/' }, { url: 'https://example.com', ca: 'nowhere.pem' }]) {
      await hook.configure({ handlers: { h: { on: ['github/*'], http } } });
      const { code } = await hook.cli('config', 'check');
      if (code !== 2) wrong.push(http);
    }
    assert.deepEqual(wrong, []);
  });
});

describe('http handler: the end of the service', { timeout: 120_000, concurrency: 3 }, () => {
  it('a stop waits for the answer', async (t) => {
    let answer;
    const place = await destination(t, (response) => (answer = response));
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url) } });
    await hook.send('github', { id: 'a' });
    await until('the request', () => answer);
    ask(hook);
    await shut(hook);
    answer.writeHead(200).end();
    await ended(hook);
    assert.deepEqual((await hook.deliveries('github/a')).map((row) => [row.state, row.attempts]), [['done', 1]]);
    await hook.start();
    await hook.idle();
    assert.equal(place.requests.length, 1);
  });

  it('a call that hangs is given back uncounted when the drain is over, and repeated with the same key and number', async (t) => {
    let gate = false;
    const place = await destination(t, (response) => gate && response.writeHead(200).end());
    const secure = await destination(t, (response) => gate && response.writeHead(200).end(), { pair: await sharedCertificate() });
    const options = { timeout: '5m', retry: retry(1) };
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, options), s: to(secure.url, { ...options, ca: 'tls/cert.pem' }) }, drain: '1s' });
    await hook.send('github', { id: 'a' });
    await until('the requests', () => place.requests.length === 1 && secure.requests.length === 1);
    const begun = performance.now();
    ask(hook);
    await ended(hook);
    assert.ok(performance.now() - begun >= 1000, 'it was not waited for');
    for (const row of await hook.deliveries('github/a')) assert.deepEqual([row.state, row.attempts], ['pending', 0], row.handler);
    gate = true;
    await hook.start();
    for (const row of await hook.settled('github/a', { state: 'done' })) assert.equal(row.attempts, 1, row.handler);
    for (const [at, handler] of [[place, 'h'], [secure, 's']]) assert.deepEqual(at.requests.map((request) => [request.key, request.attempt]), [[`github/a/${handler}`, 1], [`github/a/${handler}`, 1]]);
  });

  it('a second SIGTERM breaks a call off at once', async (t) => {
    const place = await destination(t, hang);
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { timeout: '5m' }) }, drain: '10m' });
    await hook.send('github', { id: 'a' });
    await until('the request', () => place.requests.length === 1);
    ask(hook);
    await shut(hook);
    ask(hook);
    await ended(hook);
    assert.deepEqual((await hook.deliveries('github/a')).map((row) => [row.state, row.attempts]), [['pending', 0]]);
  });

  it('of an at-most-once call that a stop broke off nobody knows the outcome, and it is not repeated', async (t) => {
    const place = await destination(t, hang);
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { ...atMostOnce, timeout: '5m' }) }, drain: '1s' });
    await hook.send('github', { id: 'a' });
    await until('the request', () => place.requests.length === 1);
    ask(hook);
    await ended(hook);
    await hook.start();
    await hook.idle();
    assert.equal(place.requests.length, 1);
    const { state, outcome } = await deliveryOf(hook, 'github', 'a', 'h');
    assert.deepEqual([state, outcome], ['done', 'unknown']);
  });

  it('row 32: a call that a SIGKILL cut off is counted, as crashed, and repeated with the same key', async (t) => {
    const place = await destination(t, (response, { attempt }) => attempt === 2 && response.writeHead(200).end());
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { ...effectively, timeout: '5m', retry: retry(3) }) } });
    await hook.send('github', { id: 'a' });
    await until('the request', () => place.requests.length === 1);
    await hook.kill();
    assert.deepEqual((await hook.deliveries('github/a')).map((row) => [row.state, row.attempts]), [['running', 1]], 'counted before it began');
    await hook.start();
    const [{ attempts }] = await hook.settled('github/a', { state: 'done' });
    assert.equal(attempts, 2);
    assert.deepEqual(place.requests.map((request) => [request.key, request.attempt]), [['github/a/h', 1], ['github/a/h', 2]]);
    const [crashed] = await attemptsOf(hook, 'a', 'h');
    assert.deepEqual([crashed.attempt, crashed.result], [1, 'failed']);
    assert.match(`${crashed.error_type} ${crashed.error}`, /crashed/);
    score(t, 32, { cases: 1 });
  });

  it('row 32: a call that a SIGKILL cut off at its last try is dead', async (t) => {
    const place = await destination(t, hang);
    const hook = await serve(t, { sources: { github }, handlers: { h: to(place.url, { timeout: '5m', retry: retry(1) }) } });
    await hook.send('github', { id: 'a' });
    await until('the request', () => place.requests.length === 1);
    await hook.kill();
    await hook.start();
    const [{ attempts, last_error: error }] = await hook.settled('github/a', { state: 'dead' });
    assert.equal(attempts, 1);
    assert.match(error, /crashed/);
    assert.equal(place.requests.length, 1);
    score(t, 32, { cases: 1 });
  });
});
