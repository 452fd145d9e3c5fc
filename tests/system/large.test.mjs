// A store of some hundred thousand events: what looks through all of it does so in pieces, and is exact all the same; what it does to
// itself beside events does not wait for them to end.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { multiply, sql } from '../bench/fill.mjs';
import { assertAnswer, github, https, serve, spread, until } from './hook.mjs';

const EVENTS = 250_000; // more than two pieces
const OLD = 20_000; // of them more than 25 days old
const DAY_MS = 86_400_000;
const on = ['github/*'];
const seen = { on, log: {} };
const plenty = { rate: '100000/s', burst: 100_000 };

// The oldest five are of their own type and source, all others alike; `seen` has done them all, and of the youngest thousand `late` has not.
async function large(t) {
  const shop = { ...github, path: '/shop' };
  const late = { on: ['github/never'], log: {}, retry_budget: plenty };
  const hook = await serve(t, { listen: [https()], sources: { github, shop }, handlers: { seen: { ...seen, on: ['*/*'] }, late }, retention: { dedup: '400d', bodies: '400d' }, retry_budget: plenty });
  for (let n = 0; n < 25; n++) assertAnswer(await hook.send('github', { id: `e${n}`, body: { n } }), 'accepted');
  await hook.idle();
  await hook.ok('pause', 'late');
  await hook.stop();
  const now = Date.now();
  const more = (count, days, deliveries) => multiply(hook.database, { count, ids: 'v7', begins: now - days * DAY_MS, ends: now - (days - 1) * DAY_MS, deliveries });
  more(OLD, 30, { seen: 'done' });
  more(EVENTS - OLD - 1025, 20, { seen: 'done' });
  more(1000, 2, { seen: 'done', late: 'pending' });
  sql(hook.database, "UPDATE events SET source = 'shop', type = 'rare', event_id = 'old' || seq WHERE seq <= 5;"
    + "UPDATE events SET received_at = strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', '-31 days') WHERE seq <= 25");
  await hook.start();
  return hook;
}

describe('a large store', { timeout: 180_000 }, () => {
  it('is listed, paged, counted and replayed exactly', async (t) => {
    const hook = await large(t);
    const list = (...filter) => hook.json('events', 'list', ...filter);
    const stats = await hook.stats();
    assert.equal(stats.received, EVENTS + 1000);
    assert.equal(stats.pending, 1000);
    assert.ok(stats.oldest_pending_seconds > 86_400, `${stats.oldest_pending_seconds} s`);

    assert.deepEqual((await list('--type', 'rare')).map((event) => event.event_id), ['old5', 'old4', 'old3', 'old2', 'old1']);
    assert.deepEqual((await list('--type', 'rare', '--limit', '2')).map((event) => event.event_id), ['old5', 'old4']);
    assert.equal((await list('--source', 'shop')).length, 5);
    assert.equal((await hook.cli('events', 'list', '--source', 'nobody')).code, 3);
    const newest = await list('--source', 'github', '--limit', '30');
    const sequences = newest.map((event) => event.sequence);
    assert.deepEqual(sequences, Array.from({ length: 30 }, (_, n) => sequences[0] - n));
    const late = await list('--handler', 'late', '--state', 'pending', '--limit', '5000');
    assert.equal(late.length, 1000);
    assert.equal((await list('--state', 'pending', '--source', 'github', '--limit', '1')).length, 1);
    assert.equal((await hook.cli('events', 'list', '--state', 'dead')).code, 3);

    const pages = (await hook.ok('events', 'export', '--handler', 'late', '--state', 'pending')).trim().split('\n').map((line) => JSON.parse(line).sequence);
    assert.deepEqual(pages, late.map((event) => event.sequence).reverse());

    const count = async (...filter) => Number(/^(\d+) would be replayed/m.exec((await hook.cli('events', 'replay', ...filter, '--dry-run')).text)?.[1] ?? 0);
    assert.equal(await count('--state', 'done'), EVENTS);
    assert.equal(await count('--state', 'done', '--type', 'rare'), 5);
    assert.equal(await count('--handler', 'late', '--source', 'github'), 0, 'its `on` wants none of them');
    const replay = await hook.json('events', 'replay', '--source', 'shop', '--wait');
    assert.deepEqual([replay.total, replay.replayed], [5, 5]);
    assert.equal((await hook.json('events', 'discard', '--handler', 'late', '--type', 'push', '--yes')).changed, 1000);
    await hook.idle();
  });

  it('is purged, and what is in it replayed, while events come without a pause', async (t) => {
    const hook = await large(t);
    let over = false;
    let sent = 0;
    const senders = spread(Array.from({ length: 8 }, (_, n) => n), 8, async (n) => {
      for (let count = 0; !over; count++) {
        assertAnswer(await hook.send('github', { id: `s${n}-${count}`, type: 'issues' }), 'accepted');
        sent += 1;
      }
    });
    await hook.ok('resume', 'late');
    const replay = await hook.json('events', 'replay', '--handler', 'seen', '--state', 'done', '--since', '3d', '--type', 'push', '--wait');
    assert.equal(replay.replayed, 1000);
    await hook.reload({ retention: { dedup: '25d', bodies: '25d' } });
    const old = "type = 'push' and received_at < strftime('%Y-%m-%d', 'now', '-26 days')";
    await until('the oldest to be purged', async () => (await hook.count('events', old)) === 0, { every: 500, deadline: 60_000 });
    over = true;
    await senders;
    assert.ok(sent > 100, `${sent} came`);
    assert.equal(await hook.count('events'), EVENTS - OLD - 25 + sent);
    await hook.idle({ deadline: 60_000 });
  });
});
