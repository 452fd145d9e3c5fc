// Retention: what is old goes, bodies before events; what is not finished stays; the ledger stays exact and the space is used again.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { score } from '../faults/matrix.mjs';
import { assertAnswer, github, plain, quote, recorder, serve, until, waitFor } from './hook.mjs';

// With the service stopped: what time has done to the store.
const change = (hook, sql) => promisify(execFile)('sqlite3', [hook.database, sql]);

const hmac = { ...plain, path: '/old' };

describe('retention', { timeout: 120_000, concurrency: 6 }, () => {
  it('a finished event goes with its key, its attempts and its place in the ledger', async (t) => {
    const flaky = recorder({ on: ['old/*'], then: '[ "$HOOKLATCH_ATTEMPT" -gt 1 ] || exit 1', retry: { first: '10ms', jitter: 'none' } });
    const hook = await serve(t, { sources: { old: hmac }, handlers: { flaky }, retention: '2s' });
    for (let n = 0; n < 5; n++) assertAnswer(await hook.send('old', { id: `e${n}` }), 'accepted');
    await hook.idle();
    assert.ok((await hook.count('attempts')) >= 10);
    await until('all to be gone', async () => (await hook.count('events')) === 0);
    assert.equal(await hook.count('deliveries'), 0);
    assert.deepEqual((await hook.sql('select count(*) as n from attempt'))[0], { n: 0 });
    const stats = await hook.stats();
    assert.deepEqual([stats.received, stats.done, stats.ledger_imbalance], [0, 0, 0]);
    assertAnswer(await hook.send('old', { id: 'e0' }), 'accepted', 'it is new again');
    assert.equal((await hook.sql('select seq from events'))[0].seq, 6, 'no sequence number is used twice');
  });

  it('never sooner than promised', async (t) => {
    const hook = await serve(t, { sources: { old: hmac }, handlers: {}, retention: '3s' });
    const sent = Date.now();
    assertAnswer(await hook.send('old', { id: 'e' }), 'accepted');
    await until('it to be gone', async () => (await hook.count('events')) === 0);
    const age = Date.now() - sent;
    assert.ok(age >= 3000 && age < 13_000 + 2000, `gone after ${age} ms`);
  });

  it('the body goes first, and the key goes on working', async (t) => {
    const hook = await serve(t, { sources: { old: hmac }, handlers: { note: { on: ['old/*'], log: {} } }, retention: { dedup: '1h', bodies: '1s' } });
    await hook.send('old', { id: 'e' });
    await hook.idle();
    await until('the body to be gone', async () => (await hook.sql("select body from events where event_id = 'e'"))[0].body === null);
    assert.equal((await hook.sql('select headers from events'))[0].headers, '[]');
    assertAnswer(await hook.send('old', { id: 'e' }), 'duplicate');
    const replay = await hook.cli('events', 'replay', 'old/e');
    assert.equal(replay.code, 1, replay.text);
    assert.match(replay.stderr, /body/);
    assert.equal((await hook.stats()).done, 1);
  });

  it('what is pending, running or dead stays whole', async (t) => {
    const dead = recorder({ on: ['old/dead'], then: 'exit 65' });
    const slow = recorder({ on: ['old/slow'], then: waitFor('gate') });
    const hook = await serve(t, { sources: { old: hmac }, handlers: { dead, slow, later: { on: ['old/later'], log: {} } }, retention: '1s' });
    await hook.send('old', { id: 'dead', type: 'dead' });
    await hook.send('old', { id: 'slow', type: 'slow' });
    await until('the slow one to run', async () => (await slow.runs()) === 1);
    await hook.settled('old/dead', { state: 'dead' });
    await hook.send('old', { id: 'gone', type: 'none' });
    await until('the unwanted one to be gone', async () => (await hook.count('events', "event_id = 'gone'")) === 0);
    assert.deepEqual((await hook.sql('select event_id, body is null as empty from events order by seq')).map((row) => [row.event_id, row.empty]), [['dead', 0], ['slow', 0]]);
    await writeFile(hook.path('gate'), '');
    await until('the slow one to go when it is done', async () => (await hook.count('events', "event_id = 'slow'")) === 0);
    const [letter] = await hook.json('dead', 'list');
    await hook.ok('dead', 'discard', String(letter.id));
    await until('the dead one to go when it is discarded', async () => (await hook.count('events')) === 0);
    const stats = await hook.stats();
    assert.deepEqual([stats.received, stats.ledger_imbalance], [0, 0]);
  });

  it('row 58: the space is used again', async (t) => {
    const hook = await serve(t, { sources: { old: hmac }, handlers: {}, retention: '1s' });
    const pages = async () => Number((await hook.sql('select page_count as n from pragma_page_count()'))[0].n);
    let most = 0;
    for (let round = 0; round < 4; round++) {
      for (let n = 0; n < 40; n++) await hook.send('old', { id: `r${round}-${n}`, body: { pad: 'x'.repeat(20_000) } });
      if (round === 1) most = await pages();
      await until('the round to be gone', async () => (await hook.count('events')) === 0);
    }
    assert.ok((await pages()) <= most * 1.5, `${await pages()} pages, ${most} after two rounds`);
    score(t, 58);
  });

  it('what became due while the service was down goes as soon as it is back', async (t) => {
    const hook = await serve(t, { sources: { old: hmac }, handlers: {}, retention: '1h' });
    await hook.send('old', { id: 'e' });
    await hook.stop();
    await hook.configure({ retention: '1s' });
    // As if it had been stopped 200 s ago, on a machine that ran on: at ten times the speed that would take 20 s.
    const boot = `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${Math.floor((Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) - 200) * 1e9)}`;
    await change(hook, `INSERT OR REPLACE INTO meta VALUES ('horizon', ${(BigInt(Date.now()) - 200_000n) * 1_000_000n}), ('horizon_boot', ${quote(boot)});
      UPDATE events SET received_at = '${new Date(Date.now() - 10_000).toISOString().replace('Z', '000Z')}'`);
    await hook.start();
    await until('it to be gone', async () => (await hook.count('events')) === 0, { deadline: 10_000 });
  });

  it('a clock that jumps ahead hurries nothing', async (t) => {
    const hook = await serve(t, { sources: { old: hmac }, handlers: {}, retention: '1h' });
    await hook.send('old', { id: 'e' });
    await hook.stop();
    await hook.configure({ retention: '1m' });
    // As if the clock had said two hours less a moment ago, and the machine had begun anew: who knows how long that was.
    const before = (BigInt(Date.now()) - 7_200_000n) * 1_000_000n;
    await change(hook, `INSERT OR REPLACE INTO meta VALUES ('horizon', ${before}); DELETE FROM meta WHERE name = 'horizon_boot';
      UPDATE events SET received_at = '${new Date(Date.now() - 5_400_000).toISOString().replace('Z', '000Z')}'`);
    await hook.start();
    await until('the horizon to move', async () => BigInt((await hook.sql("select cast(value as text) as value from meta where name = 'horizon'"))[0].value) > before);
    assert.equal(await hook.count('events'), 1);
  });

  it('a dedup window shorter than the provider repeats is refused', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: {} });
    await hook.configure({ sources: { stripe: { path: '/stripe', provider: 'stripe', secrets: [{ text: 'whsec_x' }] } }, retention: '1h' });
    const { code, stderr } = await hook.cli('config', 'check');
    assert.equal(code, 2);
    assert.match(stderr, /dedup is shorter than stripe repeats/);
    await hook.configure({ sources: { github }, retention: '45d' });
  });
});
