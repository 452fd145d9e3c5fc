// A slow, hanging or dying handler is its own trouble.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { score } from '../faults/matrix.mjs';
import { assertAnswer, github, plain, recorder, serve, spread, waitFor } from './hook.mjs';

// The most runs of a program that overlapped, by its own notes: never more than really did.
async function overlap(program) {
  const moves = (await program.notes()).map((note) => [note.time, note.what === 'start' ? 1 : -1]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let now = 0;
  let most = 0;
  for (const [, move] of moves) most = Math.max(most, (now += move));
  return most;
}

describe('isolation', { timeout: 180_000, concurrency: 4 }, () => {
  it('a handler that hangs in every slot it may have delays no other one, nor the receiving', async (t) => {
    const hanging = recorder({ on: ['github/*'], concurrency: 4, timeout: '5m', then: waitFor('gate') });
    const quick = recorder({ on: ['github/*'] });
    const noted = { on: ['github/*'], log: {} };
    const hook = await serve(t, { workers: 4, sources: { github }, handlers: { hanging, quick, noted } });
    for (let n = 0; n < 30; n++) assertAnswer(await hook.send('github', { id: `n${n}` }), 'accepted');
    for (let n = 0; n < 30; n++) {
      await hook.settled(`github/n${n}`, { handler: 'quick', state: 'done' });
      await hook.settled(`github/n${n}`, { handler: 'noted', state: 'done' });
    }
    assert.ok((await hook.stats()).running >= 1, 'the hanging one hangs');
    assert.equal(await hook.count('deliveries', "handler = 'hanging' and state = 'done'"), 0);
    await writeFile(hook.path('gate'), '');
    await hook.idle();
    assert.equal(await hanging.runs(), 30);
  });

  it('no handler runs more often at once than its concurrency', async (t) => {
    const work = 'sleep 0.1; stamp end';
    const handlers = { one: recorder({ on: ['github/*'], concurrency: 1, then: work }), three: recorder({ on: ['github/*'], concurrency: 3, then: work }) };
    const hook = await serve(t, { workers: 8, sources: { github }, handlers });
    await spread(Array.from({ length: 18 }), 8, (_, n) => hook.send('github', { id: `n${n}` }));
    await hook.idle();
    for (const [name, most] of [['one', 1], ['three', 3]]) {
      assert.equal(await handlers[name].runs(), 18);
      assert.ok(await overlap(handlers[name]) <= most, `${name} ran ${await overlap(handlers[name])} times at once`);
    }
  });

  it('row 33: a handler that always dies and one that always hangs leave the third alone', async (t) => {
    const retry = { attempts: 3, first: '100ms', factor: 1, max: '1s', jitter: 'none' };
    const handlers = {
      dying: recorder({ on: ['*/*'], concurrency: 2, retry, then: 'kill -SEGV $$' }),
      hanging: recorder({ on: ['*/*'], concurrency: 2, timeout: '1s', retry: { ...retry, attempts: 1 }, then: 'sleep 300' }),
      fine: recorder({ on: ['*/*'] }),
    };
    const hook = await serve(t, { workers: 2, sources: { github, plain }, handlers });
    for (let n = 0; n < 5; n++) {
      assertAnswer(await hook.send('github', { id: `n${n}` }), 'accepted');
      assertAnswer(await hook.send('plain', { id: `n${n}` }), 'accepted');
    }
    await hook.idle({ deadline: 40_000 });
    for (const [name, state, runs] of [['dying', 'dead', 30], ['hanging', 'dead', 10], ['fine', 'done', 10]]) {
      assert.equal(await hook.count('deliveries', `handler = '${name}' and state = '${state}'`), 10, name);
      assert.equal(await handlers[name].runs(), runs, name);
    }
    score(t, 33, { cases: 30 });
  });
});
