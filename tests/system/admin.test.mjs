// The admin listeners over http: closed by default, a token off loopback, nothing for other people's web pages.
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, it } from 'node:test';
import { assertAnswer, github, recorder, serve, until } from './hook.mjs';

const TOKEN = 'a-token-that-is-long-enough';
const unix = { unix: 'hooklatch.sock' };

async function address(hook) {
  const ready = hook.log.findLast((entry) => entry.event === 'service.ready');
  const found = ready.admin_addresses.map((text) => new URL(text));
  assert.ok(found.length > 0, JSON.stringify(ready));
  return found;
}
const call = (url, target, { method = 'GET', headers = {}, body } = {}) => new Promise((resolve, reject) => {
  const request = http.request({ host: url.hostname, port: url.port, path: target, method, headers: { host: url.host, ...headers } }, (response) => {
    const pieces = [];
    response.on('data', (piece) => pieces.push(piece));
    response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces).toString() }));
  });
  request.on('error', reject);
  request.end(body);
});

describe('admin', { timeout: 60_000, concurrency: 4 }, () => {
  it('on loopback without a token: health, metrics and the API, under a name of loopback alone', async (t) => {
    const hook = await serve(t, { admin: [unix, { http: '127.0.0.1:0' }], sources: { github }, handlers: {} });
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    const [url] = await address(hook);
    for (const target of ['/livez', '/readyz', '/metrics', '/v1/stats', '/v1/events']) assert.equal((await call(url, target)).status, 200, target);
    assert.match((await call(url, '/metrics')).headers['content-type'], /^text\/plain; version=0\.0\.4/);
    for (const host of ['localhost', `localhost:${url.port}`, '127.0.0.1', '[::1]:1']) assert.equal((await call(url, '/v1/stats', { headers: { host } })).status, 200, host);
    for (const host of ['example.com', 'localhost.example.com', '127.0.0.1.example.com', '10.0.0.1']) assert.equal((await call(url, '/v1/stats', { headers: { host } })).status, 403, host);
  });

  it('a change from the page of another origin is refused', async (t) => {
    const program = recorder({ on: ['github/*'] });
    const hook = await serve(t, { admin: [unix, { http: '127.0.0.1:0' }], sources: { github }, handlers: { program } });
    const [url] = await address(hook);
    const pause = (headers) => call(url, '/v1/handlers/program/pause', { method: 'POST', headers, body: '{}' });
    for (const headers of [{ origin: 'https://example.com' }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site' }, { origin: `http://${url.hostname}:1` }]) {
      assert.equal((await pause(headers)).status, 403, JSON.stringify(headers));
    }
    assert.equal((await hook.stats()).handlers.program.paused, false);
    assert.equal((await pause({ origin: `http://${url.host}`, 'sec-fetch-site': 'same-origin' })).status, 200);
    assert.equal((await hook.stats()).handlers.program.paused, true);
    assert.equal((await hook.sql('select who from hooklatch_audit'))[0].who, '127.0.0.1');
    await hook.ok('resume', 'program');
  });

  it('with a token nothing but health is told without it', async (t) => {
    const hook = await serve(t, { env: { ADMIN_TOKEN: TOKEN }, admin: [unix, { http: '0.0.0.0:0', token: { env: 'ADMIN_TOKEN' } }], sources: { github }, handlers: { jobs: { on: ['github/*'], pull: {} } } });
    const [{ port }] = await address(hook);
    const url = new URL(`http://127.0.0.1:${port}`);
    assert.equal((await call(url, '/livez')).status, 200);
    for (const authorization of [undefined, 'Bearer', 'Bearer wrong', `Bearer ${TOKEN}x`, `Basic ${TOKEN}`]) {
      for (const target of ['/metrics', '/v1/stats']) {
        const { status, headers } = await call(url, target, { headers: authorization ? { authorization } : {} });
        assert.equal(status, 401, String(authorization));
        assert.match(headers['www-authenticate'], /^Bearer/);
      }
    }
    const headers = { authorization: `Bearer ${TOKEN}` };
    assert.equal((await call(url, '/metrics', { headers })).status, 200);
    await hook.send('github', { id: 'a' });
    const { status, body } = await call(url, '/v1/handlers/jobs/take?wait=20s', { method: 'POST', headers });
    assert.equal(status, 200);
    const [item] = JSON.parse(body);
    assert.equal((await call(url, `/v1/leases/${item.lease}/ack`, { method: 'POST', headers })).status, 200);
    await until('it to be done', async () => (await hook.stats()).done === 1);
    assert.ok(!hook.log.some((entry) => entry.line.includes(TOKEN)));
    assert.ok(!(await hook.ok('config', 'show')).includes(TOKEN));
  });
});
