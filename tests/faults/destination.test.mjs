// Destinations that are down, each in its own way: breakers open and ask now and then, others notice nothing, and what waited is handled
// when they are back. And what one took and we could not write down any more: it is sent again, under the same key.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { describe, it } from 'node:test';
import { assertAnswer, github, http as plainly, patience, plain, prepare, recorder, serve, spread, until } from '../system/hook.mjs';
import { chance } from './preload.mjs';
import { Resolver } from './resolver.mjs';
import { score, share } from './matrix.mjs';

const budget = { rate: '2000/s', burst: 2000 };
const quiet = { format: 'json', level: 'info' };
const retry = (attempts, more) => ({ attempts, first: '100ms', factor: 1, max: '1s', jitter: 'none', ...more });
const opened = (hook, handler) => hook.log.filter((entry) => entry.event === 'breaker.opened' && entry.handler === handler);

// A destination that notes the key of each request, and answers 200 or as it is told.
async function destination(t, answer = (response) => response.end(), port = 0) {
  const keys = [];
  const server = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    request.resume();
    request.on('error', () => {});
    request.on('end', () => {
      keys.push(request.headers['idempotency-key']);
      answer(response, request.headers['idempotency-key'], request);
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { keys, server, port: server.address().port, url: `http://127.0.0.1:${server.address().port}/` };
}

// One in a process of its own, which can stand still: then the kernel still takes two connections, and no more.
async function frozen(t) {
  const program = "const s = require('http').createServer((q, r) => { q.resume(); q.on('end', () => r.end()); }); s.listen(0, '127.0.0.1', 1, () => console.log(s.address().port))";
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [text] = await once(child.stdout, 'data');
  process.kill(child.pid, 'SIGSTOP');
  return { url: `http://127.0.0.1:${Number(text)}/`, recover: () => process.kill(child.pid, 'SIGCONT') };
}

async function closedPort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// The tries that began while the breaker was open. What was under way when it opened may still begin.
const UNDER_WAY_MS = 200;
async function whileOpen(hook, handler) {
  const spans = opened(hook, handler).map((entry) => ({ from: Date.parse(entry.ts) + UNDER_WAY_MS, until: Date.parse(entry.until) }));
  const early = [];
  for (const { started_at: text } of await hook.sql(`select started_at from attempts where handler = '${handler}'`)) {
    const began = Date.parse(text);
    const span = spans.find((one) => began > one.from && began < one.until - 1);
    if (span) early.push(`${handler}: ${span.until - began} ms before its time`);
  }
  return early;
}

describe('destination', { timeout: 240_000, concurrency: 3 }, () => {
  it('row 29: refused, frozen, unnamed or never told its address: the breaker opens, probes keep their time, others notice nothing, all is handled later', async (t) => {
    const good = await destination(t);
    const there = await destination(t);
    const port = await closedPort();
    const still = await frozen(t);
    const urls = { refused: `http://127.0.0.1:${port}/`, frozen: still.url, none: `http://none.test:${there.port}/`, broken: `http://broken.test:${there.port}/`, mute: `http://mute.test:${there.port}/` };
    const breaker = { failures: 2, cooldown: '500ms', max_cooldown: '1s' };
    const handlers = Object.fromEntries(Object.entries(urls).map(([name, url]) => [name, { on: ['github/*'], http: { url }, timeout: '500ms', concurrency: 2, retry: retry(1000), breaker }]));
    handlers.good = { on: ['plain/*', 'github/*'], http: { url: good.url }, retry: retry(1) };
    const hook = await prepare(t, { sources: { github, plain }, handlers, workers: 4, retry_budget: budget, log: quiet });
    const names = new Resolver(hook, { 'none.test': 'nxdomain', 'broken.test': 'servfail', 'mute.test': 'silent' });
    await hook.start({ env: names.env });
    const count = share(40, 8);
    for (let n = 0; n < count; n++) {
      assertAnswer(await hook.send('github', { id: `g${n}` }), 'accepted');
      assertAnswer(await hook.send('plain', { id: `p${n}` }), 'accepted');
    }
    const probes = share(6, 2);
    let others = 0;
    await until('each breaker to have probed', async () => {
      assertAnswer(await hook.send('plain', { id: `more${others}` }), 'accepted');
      await hook.settled(`plain/more${others++}`, { state: 'done' });
      return Object.keys(urls).every((name) => opened(hook, name).length > probes);
    }, { deadline: 60_000, say: () => Object.keys(urls).map((name) => `${name}: ${opened(hook, name).length}`).join(', ') });
    assert.equal(await hook.count('deliveries', "handler = 'good' and (state <> 'done' or attempts <> 1)"), 0, 'the good destination was held up');
    assert.equal(await hook.count('deliveries', "handler <> 'good' and state not in ('pending', 'running')"), 0, 'something was given up');
    const early = (await Promise.all(Object.keys(urls).map((name) => whileOpen(hook, name)))).flat();
    assert.deepEqual(early, []);
    for (const entry of hook.log.filter(({ event }) => event === 'attempt.failed')) assert.match(entry.error, /refused|connect|time|resolve/i, entry.line);
    // Not more at once than were under way when it opened, and then one each time.
    for (const name of Object.keys(urls)) {
      const tries = hook.log.filter((entry) => entry.event === 'attempt.failed' && entry.handler === name).length;
      assert.ok(tries <= 2 + 1 + opened(hook, name).length, `${name}: ${tries} tries, opened ${opened(hook, name).length} times`);
    }
    const begun = performance.now();
    names.recover();
    const back = await destination(t, undefined, port);
    still.recover();
    await hook.idle({ deadline: 40_000 });
    const seconds = (performance.now() - begun) / 1000;
    assert.equal(await hook.count('deliveries', "state <> 'done'"), 0);
    assert.equal(new Set(back.keys).size, count);
    assert.equal(back.keys.length, count, 'what was refused is taken once');
    score(t, 29, { cases: Object.keys(urls).length * count, unexpected: early.length, seconds });
  });

  it('row 29: a name server that never answers does not stretch the timeout of a call, nor a stop', async (t) => {
    const limit = 1000;
    const handlers = { mute: { on: ['github/*'], http: { url: 'http://mute.test:1/' }, timeout: `${limit}ms`, retry: retry(1) } };
    const hook = await prepare(t, { sources: { github }, handlers, log: quiet, drain: '1s' });
    const names = new Resolver(hook, { 'mute.test': 'silent' });
    await hook.start({ env: names.env });
    assertAnswer(await hook.send('github', { id: 'e1' }), 'accepted');
    await hook.settled('github/e1', { state: 'dead', deadline: 40_000 });
    const [{ duration_ms: took }] = await hook.sql("select duration_ms from attempts where event_id = 'e1'");
    assert.ok(names.asked('mute.test') > 0);
    assertAnswer(await hook.send('github', { id: 'e2' }), 'accepted');
    await hook.settled('github/e2', { state: 'running' });
    const begun = performance.now();
    await hook.stop();
    const stopped = performance.now() - begun;
    // The name server's own patience is 20 s: two tries of 5 s for each of two questions.
    assert.ok(took >= limit - 1 && took < 4000 * patience, `a call of at most ${limit} ms took ${took} ms`);
    assert.ok(stopped < 4000 * patience, `a stop that waits for 1 s took ${Math.round(stopped)} ms`);
    score(t, 29, { cases: 2, seconds: took / 1000 });
  });

  it('row 29: without a route each try fails at once and says so', async (t) => {
    const to = { loopback: 'http://127.0.0.1:9/', elsewhere: 'http://192.0.2.1/', six: 'http://[2001:db8::1]/', name: 'http://somewhere.test/' };
    const breaker = { failures: 2, cooldown: '500ms', max_cooldown: '1s' };
    const handlers = Object.fromEntries(Object.entries(to).map(([name, url]) => [name, { on: ['github/*'], http: { url }, timeout: '20s', retry: retry(4), breaker }]));
    handlers.note = { on: ['*/*'], log: {} };
    // In a network of its own, with nothing in it; its sockets in the file system can be reached.
    const hook = await serve(t, { listen: [plainly({ http: 'unix:receive.sock' })], sources: { github }, handlers, retry_budget: budget, log: quiet, wrap: ['unshare', '--net'] });
    assertAnswer(await hook.send('github', { id: 'e1' }), 'accepted');
    await hook.settled('github/e1', { handler: 'note', state: 'done' });
    await until('all to be given up', async () => (await hook.count('deliveries', "state = 'dead' and attempts = 4")) === 4, { say: async () => JSON.stringify(await hook.deliveries('github/e1')) });
    for (const { handler, last_error: error } of await hook.deliveries('github/e1')) if (handler !== 'note') assert.match(error, /unreachable|route|resolve|connect/i, handler);
    assert.deepEqual((await Promise.all(Object.keys(to).map((name) => whileOpen(hook, name)))).flat(), []);
    score(t, 29, { cases: 4 });
  });

  it('row 29: a kept connection whose other end has gone without a word costs one try, and the next one takes a new connection', async (t) => {
    const served = new WeakSet();
    const place = await destination(t, (response, _, { socket }) => {
      if (served.has(socket)) return; // somebody between us forgot the connection
      served.add(socket);
      response.end();
    });
    const hook = await serve(t, { sources: { github }, handlers: { h: { on: ['github/*'], http: { url: place.url }, concurrency: 1, timeout: '500ms', retry: retry(3) } }, retry_budget: budget, log: quiet });
    const rounds = share(30, 4);
    for (let n = 0; n < rounds; n++) {
      assertAnswer(await hook.send('github', { id: `e${n}` }), 'accepted');
      const [{ attempts }] = await hook.settled(`github/e${n}`, { state: 'done' });
      assert.ok(attempts <= 2, `e${n} took ${attempts} tries`);
    }
    score(t, 29, { cases: rounds });
  });

  it('row 32: killed between the answer and its record, it sends again under the same key, once more for each crash', async (t) => {
    const rounds = share(60, 6);
    const dice = chance(Number(process.env.HOOKLATCH_SEED ?? 1));
    let strike = null;
    const tries = []; // each is counted before it is made: none is made twice
    const place = await destination(t, (response, key, request) => {
      tries.push(`${key} ${request.headers['hooklatch-attempt']}`);
      response.end('taken');
      if (strike !== null && dice.oneIn(3)) strike();
    });
    const handlers = { h: { on: ['github/*'], http: { url: place.url }, concurrency: 4, guarantee: 'effectively-once', destination_deduplicates: true, why: 'it knows our key', retry: retry(1000) } };
    const hook = await serve(t, { sources: { github }, handlers, retry_budget: budget, log: quiet });
    const ids = [];
    let slowest = 0;
    let again = 0;
    for (let round = 0; round < rounds; round++) {
      const before = place.keys.length;
      const fresh = Array.from({ length: 4 }, (_, n) => `e${round}-${n}`);
      const struck = new Promise((resolve) => (strike = () => {
        strike = null;
        resolve(hook.kill());
      }));
      await spread(fresh, 2, async (id) => {
        const answer = await hook.send('github', { id }).catch(() => null);
        if (answer?.result === 'accepted') ids.push(id);
      });
      const quiet = until('the round to end', () => strike === null || place.keys.length - before >= fresh.length);
      if ((await Promise.race([struck.then(() => 'killed'), quiet])) !== 'killed' && strike !== null) {
        strike = null;
        continue;
      }
      await struck;
      const from = performance.now();
      await hook.start();
      await hook.idle();
      slowest = Math.max(slowest, performance.now() - from);
      again += 1;
    }
    await hook.idle();
    const sent = new Set(place.keys);
    const rows = await hook.sql('select event_id, state from deliveries');
    assert.deepEqual(rows.filter(({ state }) => state !== 'done'), []);
    const lost = [...new Set([...ids, ...rows.map((row) => row.event_id)])].filter((id) => !sent.has(`github/${id}/h`));
    assert.deepEqual(lost, [], 'accepted or done, and never sent');
    const doubled = tries.length - new Set(tries).size;
    assert.equal(doubled, 0, 'the same try twice');
    assert.equal(await hook.count('deliveries', `attempts > ${again + 1}`), 0, 'more than one try for each crash');
    const more = place.keys.length - sent.size;
    assert.ok(more <= 4 * again, `${more} requests more than keys in ${again} crashes with four under way`);
    assert.ok(again > 0, 'it was never killed');
    t.diagnostic(`${again} crashes, ${sent.size} keys, ${more} sent again`);
    score(t, 32, { cases: again, lost: lost.length, doubled, seconds: slowest / 1000 });
  });
});
