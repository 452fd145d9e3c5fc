// Replays that meet: some at once over the same deliveries, in a race or paced so that they overlap for long. What one has put back to work
// the others leave alone, and what a new handler is filled with is made once.
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, recorder, serve, spread, until, waitFor } from './hook.mjs';

const on = ['github/*'];
const seen = { on, log: {} };
const plenty = { rate: '10000/s', burst: 10_000 };
const hold = 'while [ -e "$dir/hold" ]; do sleep 0.02; done';
const names = (count) => Array.from({ length: count }, (_, n) => `e${n}`);
const total = (rows, key) => rows.reduce((sum, row) => sum + row[key], 0);

async function sendAll(hook, ids, options = () => ({})) {
  await spread(ids, 16, async (id, n) => assertAnswer(await hook.send('github', { id, body: {}, ...options(n) }), 'accepted'));
  await hook.idle();
}

// Runs commands at the same time. Each succeeds, or comes when another one has left it nothing (3); one at least has something to do.
async function atOnce(hook, ...commands) {
  const results = await Promise.all(commands.map((command) => hook.cli(...command)));
  for (const { code, text } of results) assert.ok(code === 0 || code === 3, `${code} ${text}`);
  assert.ok(results.some(({ code }) => code === 0), results.map(({ text }) => text).join('\n'));
}

// How replays may meet: each way takes the command of a replay and runs it more than once.
const FAST = 'four as fast as they can';
const ways = {
  [FAST]: (hook, command) => atOnce(hook, ...Array.from({ length: 4 }, () => [...command, '--wait'])),
  // alone each would take six seconds: they overlap
  'two that are paced': async (hook, command) => {
    for (const made of await Promise.all([0, 1].map(() => hook.json(...command, '--rate', '10/s')))) assert.equal(made.state, 'running');
  },
  // alone the first one would take a minute
  'one at a crawl and one that overtakes it': async (hook, command) => {
    const { id } = await hook.json(...command, '--rate', '1/s');
    assert.equal((await hook.json('replays', 'show', String(id))).state, 'running');
    await hook.ok(...command, '--wait');
  },
};

// All replays, when none of them runs any more; none has looked at less than it moved.
async function over(hook) {
  const list = await until('the replays to be done', async () => {
    const rows = await hook.json('replays', 'list');
    return rows.every((row) => row.state === 'done') && rows;
  }, { every: 50 });
  for (const row of list) assert.equal(row.replayed + row.created + row.skipped + row.refused, row.total, JSON.stringify(row));
  return list;
}

async function assertRuns(program, ids, count) {
  const runs = Object.fromEntries(ids.map((id) => [id, 0]));
  for (const { id } of await program.records()) runs[id] += 1;
  assert.deepEqual(runs, Object.fromEntries(ids.map((id) => [id, count])));
}

describe('replays at once', { timeout: 180_000, concurrency: 2 }, () => {
  // Refuses everything until the file `good` is there.
  const moody = () => recorder({ on, concurrency: 8, then: '[ -e "$dir/good" ] || exit 65' });
  async function withDead(t, ids, program) {
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: plenty });
    await sendAll(hook, ids);
    await writeFile(hook.path('good'), '');
    return hook;
  }
  const dead = ['dead', 'replay', '--all', '--yes'];

  for (const [what, run] of Object.entries(ways)) {
    it(`of the dead letters, ${what}: each is put back to work once`, async (t) => {
      const ids = names(what === FAST ? 200 : 60);
      const program = moody();
      const hook = await withDead(t, ids, program);
      await run(hook, dead);
      const list = await over(hook);
      await hook.idle();
      assert.equal(total(list, 'replayed'), ids.length);
      for (const row of list) assert.deepEqual([row.kind, row.state, row.created, row.refused], ['dead', 'done', 0, 0]);
      await assertRuns(program, ids, 2);
      assert.equal(await hook.count('dead_letters'), 0);
      assert.equal(await hook.count('deliveries', "state = 'done' and attempts = 1 and round = 1"), ids.length);
      const stats = await hook.stats();
      assert.deepEqual([stats.received, stats.done], [ids.length, ids.length]);
    });
  }

  it('of the dead letters: one that dies again while the other one is on its way is not taken by it', async (t) => {
    const ids = names(60);
    const program = recorder({ on, concurrency: 8, then: `${hold}; exit 65` });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: plenty });
    await sendAll(hook, ids);
    const before = await hook.json('dead', 'list');
    await writeFile(hook.path('hold'), ''); // nothing dies before both have begun
    await ways['two that are paced'](hook, dead);
    await rm(hook.path('hold'));
    const list = await over(hook);
    await hook.idle();
    assert.equal(total(list, 'replayed'), 60);
    await assertRuns(program, ids, 2);
    const after = await hook.json('dead', 'list');
    assert.equal(after.length, 60);
    assert.ok(Math.min(...after.map((letter) => letter.id)) > Math.max(...before.map((letter) => letter.id)), 'a new death has a new number');
  });

  it('of the same letter, by its number, by its name and by filters: once', async (t) => {
    const program = moody();
    const hook = await withDead(t, ['e0'], program);
    const [{ id }] = await hook.json('dead', 'list');
    await atOnce(hook, ['dead', 'replay', String(id)], ['dead', 'replay', 'github/e0/program'], ['dead', 'replay', '--id', 'e*'], ['events', 'replay', '--state', 'dead']);
    await over(hook);
    await hook.idle();
    await assertRuns(program, ['e0'], 2);
    assert.equal((await hook.sql('select round from deliveries'))[0].round, 1);
  });

  for (const [what, run] of Object.entries(ways)) {
    it(`of what is done, ${what}: what is pending again or runs is skipped, and counted`, async (t) => {
      const ids = names(what === FAST ? 200 : 60); // 200 are more than one slice
      const program = recorder({ on, concurrency: 4, then: hold });
      const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: plenty });
      await sendAll(hook, ids);
      await writeFile(hook.path('hold'), ''); // nothing is done again before both are over
      await run(hook, ['events', 'replay', '--all', '--yes']);
      const list = await over(hook);
      await until('four to run', async () => (await program.runs()) === ids.length + 4);
      assert.equal(await hook.count('deliveries', "state = 'pending'"), ids.length - 4);
      await rm(hook.path('hold'));
      await hook.idle();
      assert.equal(total(list, 'replayed'), ids.length);
      for (const row of list) assert.equal(row.replayed + row.skipped, ids.length, JSON.stringify(row));
      for (const row of list) assert.deepEqual([row.total, row.created, row.refused], [ids.length, 0, 0], JSON.stringify(row));
      await assertRuns(program, ids, 2);
      assert.equal(await hook.count('deliveries', "state = 'done' and attempts = 1 and round = 1"), ids.length);
    });
  }

  it('of a thousand done ones of a paused handler, four as fast as they can: each waits once more, and runs once more', async (t) => {
    const ids = names(1000);
    const note = { on, guarantee: 'at-least-once', why: 'each run is to leave a row', setup: 'CREATE TABLE IF NOT EXISTS noted (n INTEGER PRIMARY KEY, event_id TEXT)', sql: 'INSERT INTO noted (event_id) VALUES (:event_id)' };
    const hook = await serve(t, { sources: { github }, handlers: { note }, retry_budget: plenty, log: { format: 'json', level: 'info' } });
    await sendAll(hook, ids);
    await hook.ok('pause', 'note');
    await ways[FAST](hook, ['events', 'replay', '--all', '--yes']);
    const list = await over(hook);
    for (const row of list) assert.deepEqual([row.total, row.replayed + row.skipped], [1000, 1000], JSON.stringify(row));
    assert.equal(total(list, 'replayed'), 1000);
    assert.equal(await hook.count('deliveries', "state = 'pending' and attempts = 0 and round = 1"), 1000);
    assert.equal(await hook.count('noted'), 1000);
    await hook.ok('resume', 'note');
    await hook.idle();
    assert.deepEqual(await hook.sql('select event_id, count(*) as runs from noted group by event_id having runs <> 2'), []);
    assert.equal(await hook.count('noted'), 2000);
  });

  for (const [what, run] of Object.entries(ways)) {
    for (const keys of [{}, { order_by: '/key' }]) {
      it(`that fill a new handler${keys.order_by ? ' with an order' : ''}, ${what}: each delivery is made once`, async (t) => {
        const ids = names(what === FAST ? 400 : 120);
        const wanted = ids.filter((_, n) => n % 2 === 0);
        const late = recorder({ on: ['github/push'], concurrency: 8, ...keys });
        const hook = await serve(t, { sources: { github }, handlers: { seen }, retry_budget: plenty });
        await sendAll(hook, ids, (n) => ({ type: n % 2 ? 'issues' : 'push', body: { key: n % 5 } }));
        await hook.reload({ handlers: { seen, late } });
        const fill = ['events', 'replay', '--handler', 'late'];
        await run(hook, fill);
        const list = await over(hook);
        await hook.idle();
        assert.equal(total(list, 'created'), wanted.length);
        for (const row of list) assert.deepEqual([row.kind, row.handler, row.replayed, row.refused], ['events', 'late', 0, 0]);
        await assertRuns(late, wanted, 1);
        assert.equal(await hook.count('deliveries', "handler = 'late' and round = 0"), wanted.length);
        const stats = await hook.stats();
        assert.deepEqual([stats.received, stats.done], [ids.length + wanted.length, ids.length + wanted.length]);
        assert.equal((await hook.cli(...fill, '--dry-run')).code, 3, 'nothing is left to be made');
      });
    }
  }

  it('that fill a new handler while events come: those are handled once as well', async (t) => {
    const ids = names(40);
    const late = recorder({ on, concurrency: 8, then: waitFor('gate') });
    const hook = await serve(t, { sources: { github }, handlers: { seen }, retry_budget: plenty });
    await sendAll(hook, ids);
    await hook.reload({ handlers: { seen, late } });
    const more = Array.from({ length: 40 }, (_, n) => `m${n}`);
    await Promise.all([
      ways['two that are paced'](hook, ['events', 'replay', '--handler', 'late']),
      spread(more, 2, async (id) => assertAnswer(await hook.send('github', { id, body: {} }), 'accepted')),
    ]);
    const list = await over(hook);
    await writeFile(hook.path('gate'), '');
    await hook.idle();
    assert.equal(total(list, 'created'), 40);
    await assertRuns(late, [...ids, ...more], 1);
  });

  it('of what is done by a quick handler: what is done again is not taken by the other one', async (t) => {
    const ids = names(20);
    const program = recorder({ on, concurrency: 4 });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: plenty });
    await sendAll(hook, ids);
    await hook.idle();
    await hook.ok('pause', 'program'); // what is done again before the second is made is of its business
    const both = Promise.all([0, 1].map(() => hook.json('events', 'replay', '--all', '--yes', '--rate', '10/s', '--wait')));
    await until('both to be made', async () => (await hook.count('replay')) === 2);
    await hook.ok('resume', 'program');
    await both;
    const list = await over(hook);
    await hook.idle();
    assert.equal(total(list, 'replayed'), ids.length);
    await assertRuns(program, ids, 2);
  });
});
