// Our own happenings as events: a death and an opened breaker tell somebody, and never themselves.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertAnswer, github, recorder, serve, until } from './hook.mjs';

describe('own', { timeout: 120_000, concurrency: 4 }, () => {
  it('a death is told to a handler that names it, once, with what died', async (t) => {
    const fails = recorder({ on: ['github/*'], then: 'echo "no such customer" >&2; exit 65' });
    const page = recorder({ on: ['hooklatch/delivery.dead'] });
    const all = recorder({ on: ['*/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { fails, page, all } });
    assertAnswer(await hook.send('github', { id: 'e1', type: 'push' }), 'accepted');
    await until('the page', async () => (await page.runs()) === 1);
    await hook.idle();
    const [record] = await page.records();
    const [letter] = await hook.json('dead', 'list');
    const told = JSON.parse((await hook.sql("select cast(body as text) as body from events where source = 'hooklatch'"))[0].body);
    assert.deepEqual([told.source, told.event_id, told.type, told.handler, told.attempts, told.id], ['github', 'e1', 'push', 'fails', 1, letter.id]);
    assert.match(told.last_error, /65/);
    assert.equal(record.id, `delivery.dead/${letter.id}`);
    assert.equal(await all.runs(), 1, '*/* does not match our own');
    const stats = await hook.stats();
    assert.deepEqual([stats.received, stats.dead, stats.done, stats.ledger_imbalance], [3, 1, 2, 0]);
  });

  it('a pager that fails makes no further page', async (t) => {
    const fails = recorder({ on: ['github/*'], then: 'exit 65' });
    const page = recorder({ on: ['hooklatch/delivery.dead', 'hooklatch/breaker.opened'], then: 'exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { fails, page } });
    await hook.send('github', { id: 'e1' });
    await until('both to be dead', async () => (await hook.stats()).dead === 2);
    await hook.idle();
    assert.equal(await page.runs(), 1);
    assert.equal(await hook.count('events'), 2);
  });

  it('`when` chooses among them, and nobody who asks costs nothing', async (t) => {
    const one = recorder({ on: ['github/push'], then: 'exit 65' });
    const two = recorder({ on: ['github/issues'], then: 'exit 65' });
    const page = recorder({ on: ['hooklatch/delivery.dead'], when: { '/handler': 'two' } });
    const hook = await serve(t, { sources: { github }, handlers: { one, two, page } });
    await hook.send('github', { id: 'a', type: 'push' });
    await hook.send('github', { id: 'b', type: 'issues' });
    await until('the page', async () => (await page.runs()) === 1);
    await hook.idle();
    assert.equal(await hook.count('events', "source = 'hooklatch'"), 1);
    await hook.reload({ handlers: { one, two, note: { on: ['github/*'], log: {} } } });
    await hook.send('github', { id: 'c', type: 'push' });
    await hook.idle();
    assert.equal(await hook.count('events', "source = 'hooklatch'"), 1);
  });
});
