// SIGHUP: the new configuration as a whole, or the old one.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, plain, recorder, serve, spread, until, waitFor } from './hook.mjs';

const bad = (entry) => /^(warn|err)/.test(entry.level);

describe('reload', { timeout: 120_000, concurrency: 4 }, () => {
  it('sources and handlers come and go, and connections stay', async (t) => {
    const first = recorder({ on: ['*/*'] });
    const second = recorder({ on: ['*/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { first } });
    const connection = await hook.connect();
    assertAnswer(await hook.send('github', { connection, id: 'a' }), 'accepted');
    assertAnswer(await hook.send(plain, { connection: await hook.connect() }), 'not_found');
    await hook.settled('github/a');
    await hook.reload({ sources: { github, plain }, handlers: { second } });
    assertAnswer(await hook.send('plain', { connection, id: 'b' }), 'accepted');
    assertAnswer(await hook.send('github', { connection, id: 'a' }), 'duplicate');
    await hook.settled('plain/b', { state: 'done' });
    assert.deepEqual([await first.runs(), await second.runs()], [1, 1]);
    await hook.reload({ sources: { plain } });
    assertAnswer(await hook.send(github, { id: 'c' }), 'not_found');
  });

  it('a bad file changes nothing, and the log says where it is bad', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } });
    const { config } = hook;
    for (const [text, place] of [
      ['sources: [', /hooklatch\.yaml:\d+:\d+/],
      [`sources:\n  github:\n    path: /elsewhere\n    provider: gitub\n    secrets: [ { file: secrets/none } ]\n`, /hooklatch\.yaml:4:\d+/],
      [`workers: 3\nsauces: {}\n`, /hooklatch\.yaml:2:1/],
    ]) {
      const since = hook.log.length;
      await hook.configureText(text);
      await hook.reload();
      const said = await hook.logged((entry) => bad(entry) && place.test(entry.line), { since });
      assert.ok(said);
      assertAnswer(await hook.send('github'), 'accepted', text);
    }
    hook.config = config;
    await hook.reload({ sources: { github: { ...github, path: '/new' } } });
    assertAnswer(await hook.send('github'), 'accepted', 'and a good one is taken afterwards');
  });

  it('a key that needs a restart keeps its value and is named', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: {} });
    const since = hook.log.length;
    await hook.reload({ store: 'sqlite:elsewhere.db', sources: { github, plain } });
    await hook.logged((entry) => bad(entry) && /\bstore\b/.test(entry.line), { since });
    assertAnswer(await hook.send('plain', { id: 'a' }), 'accepted', 'the rest is taken');
    assert.ok(await hook.event('plain/a'), 'stored where it always was');
    const again = hook.log.length;
    await hook.reload({ limits: { body: '2MiB' } });
    await hook.logged((entry) => bad(entry) && /\bstore\b/.test(entry.line), { since: again }); // still not what runs
    const back = hook.log.length;
    await hook.reload({ store: 'sqlite:hooklatch.db' });
    assert.ok(!hook.log.slice(back).some((entry) => bad(entry) && /\bstore\b/.test(entry.line)), 'what runs is what the file says');
  });

  it('deliveries of a handler that is gone stay, are counted as orphaned, and run when the name returns', async (t) => {
    const slow = recorder({ on: ['github/*'], concurrency: 1, then: waitFor('gate') });
    const hook = await serve(t, { workers: 1, sources: { github }, handlers: { slow } });
    for (const id of ['a', 'b', 'c', 'd', 'e']) await hook.send('github', { id });
    await until('one to run', async () => (await slow.runs()) >= 1);
    const since = hook.log.length;
    await hook.reload({ handlers: {} });
    await hook.logged((entry) => bad(entry) && /\bslow\b/.test(entry.line), { since });
    await writeFile(hook.path('gate'), '');
    await until('what ran to end', async () => (await hook.stats()).running === 0);
    const stats = await hook.stats();
    assert.ok(stats.orphaned >= 3, JSON.stringify(stats));
    assert.equal(stats.orphaned, stats.pending);
    const mark = hook.log.length;
    await hook.restart();
    await hook.logged((entry) => bad(entry) && /\bslow\b/.test(entry.line), { since: mark });
    assert.equal((await hook.stats()).orphaned, stats.orphaned);
    await hook.reload({ handlers: { slow } });
    await hook.idle();
    assert.equal((await hook.stats()).orphaned, 0);
    assert.equal(new Set((await slow.records()).map((record) => record.id)).size, 5);
  });

  it('what runs ends as it began', async (t) => {
    const slow = recorder({ on: ['github/*'], then: `${waitFor('gate')}; stamp end` });
    const hook = await serve(t, { sources: { github }, handlers: { slow } });
    await hook.send('github', { id: 'a' });
    await until('it to run', async () => (await slow.runs()) === 1);
    await hook.reload({ handlers: { slow: recorder({ on: ['github/*'], timeout: '100ms', then: 'exit 65' }) } });
    await writeFile(hook.path('gate'), '');
    await hook.settled('github/a', { state: 'done' });
    assert.equal((await slow.notes('end')).length, 1);
  });

  it('a source with another name is a new dedup space, which is warned of', async (t) => {
    const hook = await serve(t, { sources: { billing_old: plain }, handlers: {} });
    assertAnswer(await hook.send('billing_old', { id: 'a' }), 'accepted');
    const since = hook.log.length;
    await hook.reload({ sources: { billing_new: plain } });
    await hook.logged((entry) => bad(entry) && /billing_old/.test(entry.line), { since });
    assertAnswer(await hook.send('billing_new', { id: 'a' }), 'accepted');
  });

  it('a storm of SIGHUPs under load refuses nobody', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } });
    let going = true;
    let count = 0;
    const lanes = spread(Array.from({ length: 4 }), 4, async (_, lane) => {
      for (let n = 0; going; n++) {
        assertAnswer(await hook.send('github', { id: `${lane}-${n}` }), 'accepted');
        count += 1;
      }
    });
    for (let n = 0; n < 200; n++) {
      process.kill(hook.pid, 'SIGHUP');
      const seen = count;
      await until('a request to be served', () => count > seen, { every: 1 });
    }
    going = false;
    await lanes;
    await hook.idle();
    assert.equal(await hook.count('events'), count);
  });
});
