// Events that fail: poison among good ones, and a storm when all fail at once and their destination comes back.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { describe, it } from 'node:test';
import { assertAnswer, github, patience, serve, spread, until } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';

const budget = { rate: '10000/s', burst: 10_000 };
const log = { format: 'json', level: 'info' };

// A destination that notes each request and answers as `answer` says: a status, or 'hang'.
async function destination(t, answer) {
  const requests = [];
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on('error', () => {}).on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      const noted = { key: request.headers['idempotency-key'], attempt: Number(request.headers['hooklatch-attempt']), body: Buffer.concat(pieces).toString(), time: performance.now() };
      requests.push(noted);
      const status = answer(noted);
      if (status !== 'hang') response.writeHead(status).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { requests, url: `http://127.0.0.1:${server.address().port}/` };
}

// The most that came within any `span` milliseconds.
function peak(times, span) {
  const sorted = [...times].sort((a, b) => a - b);
  let most = 0;
  for (let first = 0, last = 0; last < sorted.length; last++) {
    while (sorted[last] - sorted[first] >= span) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

describe('failure', { timeout: 240_000, concurrency: 2 }, () => {
  it('row 33: poison among good events dies after its tries or waits for them, and the good ones are handled once, at their first try', async (t) => {
    const kinds = { broken: 500, refused: 422, mute: 'hang' };
    const place = await destination(t, ({ body }) => kinds[JSON.parse(body).kind] ?? 200);
    const tries = { broken: 2, refused: 1, mute: 2 };
    const retry = { attempts: 2, first: '100ms', factor: 1, max: '1s', jitter: 'none' };
    const to = (keys) => ({ on: ['github/*'], http: { url: place.url }, timeout: `${2000 * patience}ms`, concurrency: 4, retry, ...keys });
    const handlers = {
      h: to(),
      patient: to({ retry: { ...retry, first: '1h', max: '1h' } }), // there the poison is never out of the way
      ordered: to({ order_by: '/customer' }),
      other: { on: ['github/*'], log: {} },
    };
    const hook = await serve(t, { sources: { github }, handlers, workers: 4, retry_budget: budget, log });
    const count = share(2000, 200);
    const kindOf = (n) => (n % 20 === 7 ? ([7, 107].includes(n) ? 'mute' : ['broken', 'refused'][Math.floor(n / 20) % 2]) : 'good');
    const ids = Array.from({ length: count }, (_, n) => ({ id: `${kindOf(n)}${n}`, kind: kindOf(n) }));
    await spread(ids, 8, async ({ id, kind }, n) => assertAnswer(await hook.send('github', { id, body: { kind, customer: Math.floor(n / 3) % 10 } }), 'accepted'));
    await until('the good ones to be done', async () => (await hook.count('deliveries', "event_id like 'good%' and state <> 'done'")) === 0, { deadline: 60_000, every: 200 });
    assert.equal(await hook.count('deliveries', "event_id like 'good%' and attempts <> 1"), 0, 'a good one was tried again');
    await until('the poison to be dead', async () => (await hook.count('deliveries', "handler <> 'patient' and state not in ('done', 'dead')")) === 0, { deadline: 60_000, every: 200 });
    const poison = ids.filter(({ kind }) => kind !== 'good');
    const rows = await hook.sql("select event_id, handler, state, attempts from deliveries where event_id not like 'good%'");
    for (const { id, kind } of poison) {
      const of = Object.fromEntries(rows.filter((row) => row.event_id === id).map((row) => [row.handler, `${row.state} ${row.attempts}`]));
      assert.deepEqual(of, { h: `dead ${tries[kind]}`, ordered: `dead ${tries[kind]}`, patient: kind === 'refused' ? 'dead 1' : 'pending 1', other: 'done 1' }, id);
      assert.equal(place.requests.filter(({ key }) => key === `github/${id}/h`).length, tries[kind], id);
    }
    const doubled = place.requests.length - new Set(place.requests.map(({ key, attempt }) => `${key} ${attempt}`)).size;
    assert.equal(doubled, 0, 'the same try twice');
    score(t, 33, { cases: poison.length, doubled });
  });

  it('row 34: what failed together waits for times that are spread evenly', async (t) => {
    const place = await destination(t, () => 503);
    const wait = 3_600_000;
    const handlers = { h: { on: ['github/*'], http: { url: place.url }, concurrency: 8, retry: { attempts: 3, first: '1h', factor: 1, max: '1h', jitter: 'full' } } };
    const hook = await serve(t, { sources: { github }, handlers, retry_budget: budget, log });
    const count = share(10_000, 1000);
    await spread(Array.from({ length: count }), 8, async (_, n) => assertAnswer(await hook.send('github', { id: `e${n}`, body: {} }), 'accepted'));
    await until('each to have failed once', async () => (await hook.count('attempts', 'attempt = 1')) === count, { deadline: 60_000, every: 100 });
    await hook.stop(); // a wait that chance made short may have brought a second failure
    const rows = await hook.sql("select d.next_attempt_at as due, a.started_at as began from deliveries d join attempts a on a.event_id = d.event_id where d.state = 'pending' and d.attempts = 1");
    assert.ok(rows.length > count * 0.95, `${rows.length} of ${count} wait for their second try`);
    const waits = rows.map(({ due, began }) => Date.parse(due) - Date.parse(began));
    for (const one of waits) assert.ok(one >= 0 && one <= wait + 60_000, `a wait of ${one} ms`);
    const buckets = new Array(10).fill(0);
    for (const one of waits) buckets[Math.min(9, Math.floor((one / wait) * 10))] += 1;
    const expected = waits.length / 10;
    const off = buckets.filter((n) => Math.abs(n - expected) > 6 * Math.sqrt(expected)); // six times what chance does
    assert.deepEqual(off, [], `of ${waits.length} waits in tenths of the hour: ${buckets}`);
    t.diagnostic(`tenths of the time: ${buckets}`);
    score(t, 34, { cases: waits.length });
  });

  it('row 34: thousands that failed together and may be tried again at once are held to the budget, and all are handled when it is over', async (t) => {
    let down = true;
    const place = await destination(t, () => (down ? 503 : 200));
    const [rate, burst] = [share(300, 400), 100];
    const handlers = { h: { on: ['github/*'], http: { url: place.url }, concurrency: 16, retry: { attempts: 1000, first: '100ms', factor: 1, max: '1s', jitter: 'full' } } };
    const hook = await serve(t, { sources: { github }, handlers, workers: 16, retry_budget: { rate: `${rate}/s`, burst }, log });
    const count = share(6000, 1500);
    await spread(Array.from({ length: count }), 16, async (_, n) => assertAnswer(await hook.send('github', { id: `e${n}`, body: {} }), 'accepted'));
    await until('each to have failed once', () => place.requests.filter(({ attempt }) => attempt === 1).length === count, { deadline: 60_000 });
    down = false;
    const open = count - (await hook.count('deliveries', "state = 'done'"));
    const begun = performance.now();
    await hook.idle({ deadline: 90_000 });
    const seconds = (performance.now() - begun) / 1000;
    const again = place.requests.filter(({ attempt }) => attempt > 1).map(({ time }) => time);
    // A request is noted when it arrives; what was spread over a second may arrive within this time.
    const most = peak(again, 800);
    assert.ok(most <= burst + rate, `${most} tries after the first within 0.8 s; burst + rate is ${burst + rate}`);
    const least = (open - burst) / rate;
    assert.ok(seconds >= least - 1, `${open} were drained in ${seconds} s, at ${rate}/s it takes ${least}`);
    assert.equal(await hook.count('deliveries', "state <> 'done'"), 0);
    const doubled = place.requests.length - new Set(place.requests.map(({ key, attempt }) => `${key} ${attempt}`)).size;
    assert.equal(doubled, 0);
    t.diagnostic(`${count} failed together; ${again.length} more tries, at most ${most} within 0.8 s; drained in ${seconds.toFixed(1)} s`);
    score(t, 34, { cases: count, doubled, seconds });
  });
});
