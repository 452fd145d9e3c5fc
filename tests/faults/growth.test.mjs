// A store that has grown: answers take no longer, a purge of most of it goes in slices that nobody has to wait for, and the space is used again.
// What a long time would have brought is written straight into the tables, as the service writes it, while it is stopped.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { assertAnswer, patience, plain, serve, spread, until } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';

const run = promisify(execFile);
const source = { ...plain, path: '/shop' };
const EVENTS = share(200_000, 12_000);
const SENT = share(1500, 300);
const WIDTH = 4;
const ANSWER_MS = 10_000; // what a provider may count on
const START_MS = 10_000;

const config = { sources: { shop: source }, handlers: { note: { on: ['shop/*'], log: {} } }, log: { format: 'json', level: 'info' }, retention: '1h' };

// `count` events like the newest, done, with ids in no order; they and all before them received `age` ago. The store must be at rest.
async function grow(hook, count, age) {
  await run('sqlite3', ['-bail', hook.database, `
    pragma journal_mode = delete; pragma synchronous = off; pragma cache_size = -200000;
    begin;
    create temp table more as with recursive n (value) as (values (1) union all select value + 1 from n where value < ${count})
      select value + (select max(seq) from events) as seq from n;
    create temp table model as select * from events order by seq desc limit 1;
    insert into events (seq, source, event_id, type, received_at, headers, hash, body)
      select more.seq, source, lower(hex(randomblob(12))), type, strftime('%Y-%m-%dT%H:%M:%S', 'now', '-${age}') || '.000000Z', headers, hash, body from more, model;
    insert into delivery (seq, handler, state, attempts) select more.seq, handler, state, attempts from more, (select * from delivery order by seq desc limit 1);
    insert into attempt (seq, handler, round, number, started_at, duration_ms, result)
      select more.seq, handler, round, number, started_at, duration_ms, result from more, (select * from attempt order by id desc limit 1);
    insert into ledger (segment, handler, state, count)
      select more.seq >> 16, handler, state, count(*) from more, (select handler, 2 as state from delivery limit 1) group by 1 on conflict do update set count = count + excluded.count;
    insert into ledger (segment, handler, state, count)
      select more.seq >> 16, handler, state, count(*) from more, (select handler, 5 as state from delivery limit 1) group by 1 on conflict do update set count = count + excluded.count;
    update events set received_at = (select received_at from events order by seq desc limit 1);
    update meta set value = (select max(seq) from events) where name = 'seq';
    commit`], { maxBuffer: 1 << 20 });
}

// Sends on some connections while `more()` says so; how long each answer took.
async function load(hook, prefix, more, { pad = 300 } = {}) {
  const times = [];
  let n = 0;
  await spread(Array.from({ length: WIDTH }), WIDTH, async () => {
    while (more(n)) {
      const id = `${prefix}${n++}`;
      const begun = performance.now();
      const answer = await hook.send('shop', { id, body: { pad: 'x'.repeat(pad) } });
      times.push(performance.now() - begun);
      assertAnswer(answer, 'accepted', id);
    }
  });
  return times.sort((a, b) => a - b);
}

const at = (times, part) => times[Math.min(times.length - 1, Math.floor(times.length * part))];
const told = (times) => `p50 ${at(times, 0.5).toFixed(1)} ms, p99 ${at(times, 0.99).toFixed(1)} ms, the longest ${times.at(-1).toFixed(1)} ms of ${times.length}`;

// What the same load may take at worst where nothing in its way grows with the store: other programs are about.
const flat = (usual) => (10 * at(usual, 0.99) + 100) * patience;

const pages = async (hook) => {
  const [{ pages: all, free }] = await hook.sql('select page_count as pages, freelist_count as free from pragma_page_count(), pragma_freelist_count()');
  return { all, free };
};

describe('a store that has grown', { timeout: 300_000 }, () => {
  it('row 58: with a full store a start and an answer take as long as with an empty one', async (t) => {
    const hook = await serve(t, { ...config, retention: '45d' });
    await load(hook, 'warm', (n) => n < 50);
    const empty = await load(hook, 'empty', (n) => n < SENT);
    await hook.idle();
    await hook.stop();
    await grow(hook, EVENTS, '1 day');
    const begun = performance.now();
    await hook.start();
    const seconds = (performance.now() - begun) / 1000;
    await load(hook, 'again', (n) => n < 50);
    const full = await load(hook, 'full', (n) => n < SENT);
    const some = (await hook.sql(`select event_id from events where length(event_id) = 24 order by random() limit ${share(500, 60)}`)).map((row) => row.event_id);
    const answers = await spread(some, WIDTH, (id) => hook.send('shop', { id }));
    const lost = answers.filter(({ result }) => result !== 'duplicate').length;
    t.diagnostic(`${fs.statSync(hook.database).size >> 20} MiB; start ${seconds.toFixed(2)} s; empty: ${told(empty)}; full: ${told(full)}`);
    const late = full.filter((ms) => ms > ANSWER_MS * patience).length;
    await hook.idle();
    score(t, 58, { cases: SENT + some.length, lost, unexpected: late, seconds });
    assert.equal(lost, 0, 'an event of the store is not known');
    assert.ok(seconds * 1000 < START_MS * patience, `the start took ${seconds} s`);
    assert.ok(at(full, 0.99) <= flat(empty), `p99 ${at(full, 0.99)} ms, ${at(empty, 0.99)} ms when it was empty`);
  });

  it('row 58: a purge of all that is old goes in slices, who sends meanwhile is answered as usual, and the space is used again', async (t) => {
    const hook = await serve(t, config);
    await load(hook, 'warm', (n) => n < 50);
    const usual = await load(hook, 'usual', (n) => n < SENT);
    await hook.idle();
    await hook.stop();
    await grow(hook, EVENTS, '2 hours');
    const full = await pages(hook);
    const [{ last }] = await hook.sql('select max(seq) as last from events');
    await hook.start();
    const begun = performance.now();
    const old = () => hook.count('events', `seq <= ${last}`);
    let over = false;
    const sending = load(hook, 'during', () => !over);
    sending.catch(() => {}); // it is awaited below
    await until('all that is old to be gone', async () => (await old()) === 0, { deadline: share(100_000, 20_000), every: share(500, 100) }).finally(() => (over = true));
    const seconds = (performance.now() - begun) / 1000;
    const during = await sending;
    await hook.idle();
    const stats = await hook.stats();
    const empty = await pages(hook);
    t.diagnostic(`${EVENTS} events gone in ${seconds.toFixed(1)} s beside ${during.length} new ones: ${told(during)}; before: ${told(usual)}`);
    // as much again as would have made the file grow
    const bytes = Math.floor((empty.free * 4096) / 2);
    await load(hook, 'later', (n) => n < bytes / 100_000, { pad: 100_000 });
    await hook.idle();
    const again = await pages(hook);
    t.diagnostic(`pages: ${full.all} full, ${empty.free} of ${empty.all} free after the purge, ${again.free} of ${again.all} after ${bytes >> 20} MiB more`);
    const left = await hook.count('events', "event_id like 'during%'");
    score(t, 58, { cases: EVENTS, lost: during.length - left, unexpected: stats.ledger_imbalance, seconds });
    assert.equal(left, during.length, 'what is not old is there');
    assert.deepEqual([stats.received, stats.done, stats.ledger_imbalance], [left, left, 0]);
    // By the events that are there: those that came meanwhile took of what became free.
    const each = full.all / (50 + SENT + EVENTS);
    assert.ok(empty.all - empty.free < 1.25 * each * left + 500, 'what it held is free');
    assert.ok(again.all <= empty.all && again.free < empty.free, 'and is used again');
    assert.ok(at(during, 0.99) <= flat(usual), `p99 ${at(during, 0.99)} ms beside the purge, ${at(usual, 0.99)} ms before`);
  });
});
