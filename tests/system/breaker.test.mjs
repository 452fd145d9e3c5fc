// The breaker: after some failures in a row that say something about the destination nothing is tried, nothing is lost and nothing is used
// up; one probe after each cooldown, never earlier; others notice nothing.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { describe, it } from 'node:test';
import { score } from '../faults/matrix.mjs';
import { assertAnswer, github, prepare, recorder, serve, spread, until } from './hook.mjs';

const on = ['github/*'];
const retry = (attempts, more) => ({ attempts, first: '100ms', factor: 1, max: '100ms', jitter: 'none', ...more });
const once = { attempts: 1 };
const FOREVER = { cooldown: '10m', max_cooldown: '10m' };
const budget = { rate: '1000/s', burst: 1000 };
const send = async (hook, id, options) => assertAnswer(await hook.send('github', { id, body: {}, ...options }), 'accepted');
const opened = (hook, handler) => hook.log.filter((entry) => entry.event === 'breaker.opened' && entry.handler === handler);
const opens = (hook, handler, more) => hook.logged((entry) => entry.event === 'breaker.opened' && entry.handler === handler, more);
const recover = (hook) => writeFile(hook.path('good'), '');
// Fails until the file `good` is there, and notes when it ends.
const moody = (keys) => recorder({ on, retry: retry(1000), then: '[ -e "$dir/good" ] && exit 0; stamp end; exit 1', ...keys });
// Ends as the event's type says: t0, t1, t65, tsegv.
const obedient = (keys) => recorder({ on, retry: once, then: 'case $HOOKLATCH_TYPE in tsegv) kill -SEGV $$;; *) exit "${HOOKLATCH_TYPE#t}";; esac', ...keys });
// Fails as often as one may wish and is not held back: when it is through, others had the time to be tried as often.
const clock = (tries) => recorder({ on: ['github/clock'], retry: retry(tries), then: 'exit 1' });
async function timePasses(hook, id) {
  await send(hook, id, { type: 'clock' });
  await hook.settled(`github/${id}`, { handler: 'clock', state: 'dead' });
}

// An address that answers with the status that the path names; `requests` are the handlers' names, in order.
async function destination(t) {
  const requests = [];
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      requests.push(request.headers['idempotency-key']);
      const status = Number(request.headers['content-type'].match(/status-(\d+)/)?.[1] ?? request.url.slice(1));
      if (status === 0) return; // hangs
      response.writeHead(status).end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { requests, url: (status) => `http://127.0.0.1:${port}/${status}` };
}

describe('breaker', { timeout: 300_000, concurrency: 3 }, () => {
  it('row 29: it opens after so many failures in a row: then nothing is tried, no attempt is used up, receiving goes on', async (t) => {
    const program = moody({ on: ['github/push'], breaker: { failures: 3, ...FOREVER } });
    const fine = recorder({ on });
    const hook = await serve(t, { sources: { github }, handlers: { program, fine, clock: clock(8) }, retry_budget: budget });
    await send(hook, 'first');
    const line = await opens(hook, 'program');
    assert.equal(line.failures, 3);
    for (let n = 0; n < 20; n++) await send(hook, `n${n}`);
    await timePasses(hook, 'tick');
    assert.equal(await program.runs(), 3);
    assert.deepEqual((await hook.deliveries('github/first', 'program')).map((row) => [row.state, row.attempts]), [['pending', 3]]);
    assert.equal(await hook.count('deliveries', "handler = 'program' and state = 'pending' and attempts = 0"), 20);
    assert.equal(await hook.count('deliveries', "handler = 'fine' and state = 'done'"), 22, 'another handler notices nothing');
    assert.equal(opened(hook, 'program').length, 1);
    score(t, 29, { cases: 22 });
  });

  it('with a backlog and one at a time it is tried exactly so often', async (t) => {
    const program = moody({ on: ['github/push'], concurrency: 1, breaker: { failures: 4, ...FOREVER } });
    const hook = await serve(t, { sources: { github }, handlers: { program, clock: clock(4) }, retry_budget: budget });
    await spread(Array.from({ length: 30 }), 8, (_, n) => send(hook, `n${n}`));
    await opens(hook, 'program');
    await timePasses(hook, 'tick');
    assert.equal(await program.runs(), 4);
  });

  it('with many at a time no more are tried than were under way', async (t) => {
    const program = moody({ on: ['github/push'], concurrency: 4, breaker: { failures: 5, ...FOREVER } });
    const hook = await serve(t, { sources: { github }, handlers: { program, clock: clock(4) }, retry_budget: budget });
    await spread(Array.from({ length: 40 }), 8, (_, n) => send(hook, `n${n}`));
    await opens(hook, 'program');
    await timePasses(hook, 'tick');
    const runs = await program.runs();
    assert.ok(runs >= 5 && runs <= 5 + 4, `${runs} tries`);
    assert.equal(await hook.count('deliveries', "handler = 'program' and state = 'pending'"), 40);
  });

  it('exit 65 neither counts nor resets, a success resets', async (t) => {
    const program = obedient({ breaker: { failures: 3, ...FOREVER } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    const codes = ['1', '1', '0', '75', '2', '65', '65', '65', '65', '65', 'segv'];
    // the next one runs: it was not open yet
    for (const [n, code] of codes.entries()) {
      await send(hook, `n${n}`, { type: `t${code}` });
      await hook.settled(`github/n${n}`, { state: code === '0' ? 'done' : 'dead' });
    }
    await opens(hook, 'program');
    assert.equal(await program.runs(), codes.length);
    await send(hook, 'late', { type: 't0' });
    assert.deepEqual((await hook.deliveries('github/late')).map((row) => [row.state, row.attempts]), [['pending', 0]]);
  });

  it('which answers of a destination count, and which neither count nor reset', async (t) => {
    const { url, requests } = await destination(t);
    const counting = [401, 403, 404, 408, 425, 429, 500, 502, 503, 599];
    const silent = [400, 409, 410, 413, 415, 422];
    const handlers = {};
    for (const status of counting) handlers[`c${status}`] = { on: ['github/count'], http: { url: url(status) }, retry: once, breaker: { failures: 2, ...FOREVER } };
    // the status is chosen by the sender's Content-Type, which is passed on
    for (const status of silent) handlers[`s${status}`] = { on: [`github/s${status}`], http: { url: url(200) }, retry: once, breaker: { failures: 2, ...FOREVER } };
    const hook = await serve(t, { sources: { github }, handlers });
    for (const id of ['one', 'two']) {
      await send(hook, id, { type: 'count' });
      await hook.settled(`github/${id}`, { state: 'dead' });
    }
    for (const status of counting) assert.equal((await opens(hook, `c${status}`)).failures, 2, String(status));
    await send(hook, 'three', { type: 'count' });
    for (const status of silent) {
      for (const [n, answer] of [500, 200, 500, status, status, status, 500].entries()) {
        const id = `s${status}-${n}`;
        await send(hook, id, { type: `s${status}`, headers: { 'Content-Type': `application/status-${answer}` } });
        await hook.settled(`github/${id}`, { state: answer === 200 ? 'done' : 'dead' });
      }
      await opens(hook, `s${status}`);
      await send(hook, `s${status}-late`, { type: `s${status}` });
    }
    assert.equal(await hook.count('deliveries', "state = 'pending' and attempts = 0"), counting.length + silent.length);
    assert.equal(requests.length, 2 * counting.length + 7 * silent.length);
  });

  it('row 29: time-outs and failures of transport count', async (t) => {
    const { url } = await destination(t);
    const breaker = { failures: 1, ...FOREVER };
    const handlers = {
      slow: recorder({ on, retry: once, timeout: '1s', breaker, then: 'sleep 300' }),
      hanging: { on, http: { url: url(0) }, retry: once, timeout: '1s', breaker },
      closed: { on, http: { url: 'http://127.0.0.1:1/' }, retry: once, breaker },
      endless: { on, sql: "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE :body ->> '$.endless') SELECT count(*) FROM c", retry: once, breaker },
    };
    const hook = await serve(t, { sources: { github }, handlers });
    await send(hook, 'a', { body: { endless: true } });
    for (const handler of Object.keys(handlers)) await opens(hook, handler);
    await hook.settled('github/a', { state: 'dead' });
    score(t, 29, { cases: Object.keys(handlers).length });
  });

  it('a statement of sql that meets a constraint says nothing about a destination', async (t) => {
    const note = { on, setup: 'CREATE TABLE IF NOT EXISTS picky (a CHECK (a IS NULL))', sql: "INSERT INTO picky VALUES (:body ->> '$.a')", retry: once, breaker: { failures: 2, ...FOREVER } };
    const hook = await serve(t, { sources: { github }, handlers: { note } });
    for (let n = 0; n < 5; n++) {
      await send(hook, `n${n}`, { body: { a: 1 } });
      await hook.settled(`github/n${n}`, { state: 'dead' });
    }
    await send(hook, 'good');
    await hook.settled('github/good', { state: 'done' });
  });

  it('row 29: one probe after the cooldown, never earlier; each that fails doubles it, up to the maximum', async (t) => {
    const program = moody({ concurrency: 4, breaker: { failures: 2, cooldown: '1s', max_cooldown: '2s' } });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: budget });
    await send(hook, 'first'); // alone: nothing is under way when it opens
    await opens(hook, 'program');
    for (let n = 0; n < 6; n++) await send(hook, `n${n}`);
    await until('three failed probes', async () => opened(hook, 'program').length >= 4);
    const lines = opened(hook, 'program').slice(0, 4);
    assert.deepEqual(lines.map((line) => Math.round((Date.parse(line.until) - Date.parse(line.ts)) / 1000)), [1, 2, 2, 2]);
    const notes = (await program.notes()).filter((note) => note.time < Date.parse(lines[3].ts) + 1); // its microseconds are cut
    // start, end, start, end: one at a time, though four might run
    assert.deepEqual(notes.map((note) => note.what), Array.from({ length: 10 }, (_, n) => (n % 2 ? 'end' : 'start')), 'two tries, three probes');
    for (const [n, least] of [1000, 2000, 2000].entries()) {
      const waited = notes[2 * n + 4].time - notes[2 * n + 3].time;
      assert.ok(waited >= least, `probe ${n + 1} came after ${waited} ms`);
    }
    await recover(hook);
    await hook.idle();
    score(t, 29, { cases: 3 });
  });

  it('a probe that succeeds closes it, and all that waited is handled', async (t) => {
    const program = moody({ on: ['github/push'], breaker: { failures: 2, cooldown: '1s', max_cooldown: '10s' } });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: budget });
    await send(hook, 'first');
    await opens(hook, 'program');
    for (let n = 0; n < 25; n++) await send(hook, `n${n}`);
    await recover(hook);
    await hook.logged((entry) => entry.event === 'breaker.closed' && entry.handler === 'program');
    await hook.idle();
    assert.equal(await hook.count('deliveries', "state = 'done'"), 26);
    assert.equal(await hook.count('deliveries', "event_id like 'n%' and attempts = 1"), 25, 'waiting used up no attempt');
    assert.equal(await program.runs(), 2 + 26);
    assert.equal(opened(hook, 'program').length, 1);
  });

  it('after it has closed it counts from nothing and begins with the first cooldown', async (t) => {
    const program = obedient({ breaker: { failures: 2, cooldown: '1s', max_cooldown: '1m' } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    const waits = () => opened(hook, 'program').map((line) => Math.round((Date.parse(line.until) - Date.parse(line.ts)) / 1000));
    const tryOnce = async (id, type) => {
      await send(hook, id, { type });
      await hook.settled(`github/${id}`);
    };
    for (const id of ['a', 'b', 'probe-fails']) await tryOnce(id, 't1');
    await tryOnce('probe-works', 't0');
    await hook.logged('breaker.closed');
    await tryOnce('c', 't1');
    await tryOnce('d', 't0');
    for (const id of ['e', 'f']) await tryOnce(id, 't1');
    await until('it to open again', () => waits().length === 3);
    assert.deepEqual(waits(), [1, 2, 1]);
  });

  it('a probe that says nothing about the destination leaves room for the next one', async (t) => {
    const program = obedient({ breaker: { failures: 1, cooldown: '1s', max_cooldown: '1m' } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await send(hook, 'a', { type: 't1' });
    await opens(hook, 'program');
    for (const [id, type] of [['b', 't65'], ['c', 't65'], ['d', 't0'], ['e', 't0']]) await send(hook, id, { type });
    await hook.logged('breaker.closed');
    await hook.idle();
    assert.equal(opened(hook, 'program').length, 1);
    assert.equal(await program.runs(), 5);
  });

  it('give_up_after does not pass while it is open', async (t) => {
    const program = moody({ retry: retry(1000, { give_up_after: '1s' }), breaker: { failures: 1, cooldown: '2s', max_cooldown: '2s' } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await send(hook, 'a');
    await until('two failed probes', async () => opened(hook, 'program').length >= 3);
    const [first] = await program.notes('start');
    const last = (await program.notes('start')).at(-1);
    assert.ok(last.time - first.time >= 4000);
    assert.equal((await hook.deliveries('github/a'))[0].state, 'pending', 'it was open for all but a moment of those seconds');
    await recover(hook);
    await hook.settled('github/a', { state: 'done' });
  });

  it('attempts are still counted: probes use up those of the event that probes', async (t) => {
    const program = moody({ retry: retry(3), breaker: { failures: 2, cooldown: '1s', max_cooldown: '1s' } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await send(hook, 'a');
    const [{ attempts }] = await hook.settled('github/a', { state: 'dead' });
    assert.equal(attempts, 3);
    assert.equal(await program.runs(), 3);
  });

  it('it loses nothing over a stop and a kill', async (t) => {
    const program = moody({ breaker: { failures: 2, ...FOREVER } });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: budget });
    for (let n = 0; n < 10; n++) await send(hook, `n${n}`);
    await opens(hook, 'program');
    const since = hook.log.length; // it may open before the service is ready
    await hook.restart();
    await opens(hook, 'program', { since });
    await hook.kill();
    await recover(hook);
    await hook.start();
    await hook.idle();
    assert.equal(await hook.count('deliveries', "state = 'done'"), 10);
  });

  it('with an order it holds the order', async (t) => {
    const program = moody({ concurrency: 4, order_by: '/key', breaker: { failures: 3, cooldown: '1s', max_cooldown: '1s' } });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: budget });
    for (let n = 0; n < 12; n++) await send(hook, `${n % 2 ? 'a' : 'b'}${n}`, { body: { key: n % 2 } });
    await opens(hook, 'program');
    await recover(hook);
    await hook.idle();
    for (const key of ['a', 'b']) {
      const sequences = (await program.records()).filter((record) => record.id.startsWith(key)).map((record) => record.sequence);
      assert.deepEqual(sequences, [...sequences].sort((x, y) => x - y));
    }
  });

  it('a reload with other figures: the new ones hold, what is open stays open, and without a breaker it is gone', async (t) => {
    const keys = { on: ['github/push'], concurrency: 1 };
    const program = moody({ ...keys, retry: retry(1000, { first: '200ms', max: '200ms' }), breaker: { failures: 100, ...FOREVER } });
    const hook = await serve(t, { sources: { github }, handlers: { program, clock: clock(5) }, retry_budget: budget });
    const figures = (breaker) => hook.reload({ handlers: { ...hook.config.handlers, program: { place: async (dir, name) => ({ ...(await program.place(dir, name)), breaker }) } } });
    await send(hook, 'a');
    await until('two failures', async () => (await program.runs()) >= 2);
    assert.equal(opened(hook, 'program').length, 0);
    await figures({ failures: 4, ...FOREVER });
    assert.equal((await opens(hook, 'program')).failures >= 4, true);
    const runs = await program.runs();
    await figures({ failures: 9, ...FOREVER });
    await timePasses(hook, 'tick');
    assert.equal(await program.runs(), runs, 'it is open still');
    await figures(undefined);
    await until('it to be tried again', async () => (await program.runs()) >= runs + 12);
    assert.equal(opened(hook, 'program').length, 1);
    await figures({ failures: 1, cooldown: '1s', max_cooldown: '1s' });
    await until('it to open', () => opened(hook, 'program').length === 2);
    await recover(hook);
    await hook.idle();
  });

  it('what makes no sense is refused', async (t) => {
    const hook = await prepare(t, { sources: { github }, handlers: {} });
    const exec = { on, exec: ['/bin/true'] };
    for (const [keys, word] of [
      [{ ...exec, guarantee: 'at-most-once', why: 'x', breaker: {} }, /at-most-once/],
      [{ ...exec, breaker: { failures: 0 } }, /failures/],
      [{ ...exec, breaker: { cooldown: '1m', max_cooldown: '30s' } }, /max_cooldown/],
      [{ ...exec, breaker: { cooldown: 30 } }, /cooldown/],
      [{ ...exec, breaker: { failure: 5 } }, /did you mean "failures"/],
      [{ on, pull: {}, breaker: {} }, /breaker/],
    ]) {
      await hook.configure({ handlers: { note: keys } });
      const { code, text } = await hook.cli('config', 'check');
      assert.equal(code, 2, JSON.stringify(keys));
      assert.match(text, /hooklatch\.yaml:\d+:\d+: error: /);
      assert.match(text, word);
    }
    await hook.configure({ handlers: { note: { ...exec, breaker: {} } } });
    const shown = await hook.ok('config', 'show');
    for (const figure of [/failures.*5/, /cooldown.*30s/, /max_cooldown.*10m/]) assert.match(shown, figure);
  });

  it('somebody is told when it opens, in JSON, and only who asked for it by name', async (t) => {
    const program = moody({ on: ['github/push'], breaker: { failures: 2, ...FOREVER } });
    const tell = recorder({ on: ['hooklatch/breaker.opened'], then: 'cat >"$dir/told.$HOOKLATCH_SEQUENCE"' });
    const all = recorder({ on: ['*/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { program, tell, all }, retry_budget: budget });
    await send(hook, 'a');
    await until('it to be told', async () => (await tell.runs()) === 1);
    await hook.idle().catch(() => {}); // a is pending
    const [record] = await tell.records();
    assert.deepEqual([record.source, record.type], ['hooklatch', 'breaker.opened']);
    const body = JSON.parse(await readFile(hook.path(`told.${record.sequence}`), 'utf8'));
    assert.equal(body.handler, 'program');
    assert.deepEqual((await all.records()).map((other) => other.id), ['a']);
    assert.equal(await hook.count('events', "source = 'hooklatch'"), 1);
  });

  it('who is told does not cause itself, alone or in company', async (t) => {
    const failing = (keys) => recorder({ on: ['hooklatch/breaker.opened'], retry: retry(3), then: 'exit 1', breaker: { failures: 1, cooldown: '1s', max_cooldown: '1s' }, ...keys });
    const program = moody({ on: ['github/push'], retry: once, breaker: { failures: 1, ...FOREVER } });
    const hook = await serve(t, { sources: { github }, handlers: { program, one: failing(), two: failing() }, retry_budget: budget });
    await send(hook, 'a');
    await until('both to be told', async () => (await hook.count('deliveries', "source = 'hooklatch'")) >= 2);
    await hook.idle({ deadline: 15_000 });
    assert.equal(await hook.count('events', "source = 'hooklatch'"), 1);
  });
});
