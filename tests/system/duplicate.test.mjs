// Events that arrive again: stored once, processed once, and answered with how they stand.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { score, share } from '../faults/matrix.mjs';
import { assertAnswer, github, plain, recorder, serve, spread, until, waitFor } from './hook.mjs';

describe('duplicate', { timeout: 120_000, concurrency: 4 }, () => {
  it('an event sent twice is processed once', async (t) => {
    const count = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { count } });
    assert.equal((await hook.send('github', { id: 'a1' })).result, 'accepted');
    assert.equal((await hook.send('github', { id: 'a1' })).result, 'duplicate');
    await hook.settled('github/a1');
    const again = await hook.send('github', { id: 'a1' });
    assertAnswer(again, 'duplicate');
    assert.equal(again.state, 'done');
    assert.equal(await count.runs(), 1);
    await hook.restart();
    assertAnswer(await hook.send('github', { id: 'a1' }), 'duplicate', 'after a restart');
    assert.equal(await count.runs(), 1);
  });

  it('row 46: the same id many times at once is one event, and who is answered finds it stored', async (t) => {
    const count = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { count }, log: { format: 'json', level: 'info' }, limits: { connections_per_address: 1000 } });
    const cases = share(10_000, 500);
    const words = {};
    let unproved = 0;
    await spread(Array.from({ length: cases }), share(256, 64), async (_, n) => {
      const answer = await hook.send('github', { id: 'flood', body: {} });
      assert.equal(answer.status, 200);
      words[answer.result] = (words[answer.result] ?? 0) + 1;
      if (n % 100 === 0 && (await hook.count('events')) !== 1) unproved += 1;
    });
    assert.deepEqual(words, { accepted: 1, duplicate: cases - 1 });
    assert.equal(unproved, 0);
    await hook.settled('github/flood', { state: 'done' });
    assert.deepEqual([await hook.count('events'), await hook.count('deliveries'), await count.runs()], [1, 1, 1]);
    const { accepted, duplicates } = await hook.stats();
    assert.deepEqual([accepted, duplicates], [1, cases - 1]);
    score(t, 46, { cases, doubled: (await count.runs()) - 1 });
  });

  it('the same id in another source is another event', async (t) => {
    const hook = await serve(t, { sources: { one: { ...plain, path: '/one' }, two: { ...plain, path: '/two' } } });
    assertAnswer(await hook.send('one', { id: 'same' }), 'accepted');
    assertAnswer(await hook.send('two', { id: 'same' }), 'accepted');
  });

  it('ids are compared byte for byte', async (t) => {
    const hook = await serve(t, { sources: { github } });
    for (const id of ['a', 'A', 'a.', '1', '01', '1.0', 'é'.normalize('NFC'), 'é'.normalize('NFD')]) {
      const latin1 = Buffer.from(id).toString('latin1'); // headers go out as bytes
      assertAnswer(await hook.send('github', { id: latin1 }), 'accepted', id);
      assertAnswer(await hook.send('github', { id: latin1 }), 'duplicate', id);
    }
  });

  it('row 45: the same id with another body is a duplicate, the first stays, and the conflict is logged and counted', async (t) => {
    const hook = await serve(t, { sources: { github } });
    assertAnswer(await hook.send('github', { id: 'c1', body: '{"n":1}' }), 'accepted');
    assertAnswer(await hook.send('github', { id: 'c1', body: '{"n":1}' }), 'duplicate');
    assert.ok(!hook.log.some((entry) => entry.event === 'event.conflict'), 'the same body is no conflict');
    assertAnswer(await hook.send('github', { id: 'c1', body: '{"n":2}' }), 'duplicate');
    const conflict = await hook.logged('event.conflict');
    assert.equal(conflict.source, 'github');
    assert.equal(conflict.event_id, 'c1');
    assert.equal((await hook.event('github/c1')).body.toString(), '{"n":1}');
    assert.match((await hook.admin('/metrics')).text, /^hooklatch_events_conflict_total 1$/m);
    score(t, 45, { cases: 2 });
  });

  it('row 45: of many bodies with one id at once the accepted one stays, and each other one is a conflict', async (t) => {
    const count = recorder({ on: ['github/*'], then: 'cat >"$dir/seen-$HOOKLATCH_EVENT_ID"' });
    const hook = await serve(t, { sources: { github }, handlers: { count } });
    const [ids, bodies] = [share(100, 5), 40];
    for (let n = 0; n < ids; n++) {
      const answers = await spread(Array.from({ length: bodies }), 20, (_, m) => hook.send('github', { id: `c${n}`, body: JSON.stringify({ m }) }));
      const first = answers.filter(({ result }) => result === 'accepted');
      assert.equal(first.length, 1, `c${n}`);
      assert.equal(answers.filter(({ result }) => result === 'duplicate').length, bodies - 1, `c${n}`);
      assert.ok((await hook.event(`github/c${n}`)).body.equals(first[0].sent.body), `the body of c${n}`);
      await hook.settled(`github/c${n}`, { state: 'done' });
      assert.ok((await readFile(hook.path(`seen-c${n}`))).equals(first[0].sent.body), `what the handler saw of c${n}`);
    }
    const conflicts = ids * (bodies - 1);
    await until('all conflicts to be logged', () => hook.log.filter((entry) => entry.event === 'event.conflict').length === conflicts);
    assert.match((await hook.admin('/metrics')).text, new RegExp(`^hooklatch_events_conflict_total ${conflicts}$`, 'm'));
    assert.equal(await count.runs(), ids);
    score(t, 45, { cases: ids * bodies });
  });

  it('an event that no handler wants is stored and counted as unrouted', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { other: { on: ['github/push'], log: {} } } });
    assertAnswer(await hook.send('github', { id: 'u1', type: 'issues' }), 'accepted');
    const again = await hook.send('github', { id: 'u1', type: 'issues' });
    assertAnswer(again, 'duplicate');
    assert.equal(again.state, 'unrouted');
    const stats = await hook.stats();
    assert.equal(stats.unrouted, 1);
    assert.equal(stats.received, 0, 'received counts deliveries');
    assert.ok(await hook.event('github/u1'));
  });

  it('the state of a duplicate is the first of running, pending, dead, discarded, done', async (t) => {
    const slow = recorder({ on: ['github/*'], then: waitFor('gate') });
    const fast = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { slow, fast } });
    await hook.send('github', { id: 's1' });
    await hook.settled('github/s1', { handler: 'fast', state: 'done' });
    await hook.settled('github/s1', { handler: 'slow', state: 'running' });
    assert.equal((await hook.send('github', { id: 's1' })).state, 'running');
    await writeFile(hook.path('gate'), '');
    await hook.settled('github/s1', { state: 'done' });
    assert.equal((await hook.send('github', { id: 's1' })).state, 'done');
  });

  it('the redelivery of a dead event revives it, and only what was dead', async (t) => {
    const broken = recorder({ on: ['github/*'], then: '[ -e "$dir/good" ] || { echo no >&2; exit 65; }' });
    const fine = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { broken, fine } });
    assertAnswer(await hook.send('github', { id: 'r1' }), 'accepted');
    await hook.settled('github/r1', { handler: 'broken', state: 'dead' });
    await hook.settled('github/r1', { handler: 'fine', state: 'done' });
    await writeFile(hook.path('good'), '');
    assertAnswer(await hook.send('github', { id: 'r1' }), 'revived');
    await hook.settled('github/r1', { state: 'done' });
    assertAnswer(await hook.send('github', { id: 'r1' }), 'duplicate');
    assert.deepEqual((await broken.records()).map((record) => record.attempt), [1, 1], 'a new round counts from 1');
    assert.equal(await fine.runs(), 1);
    const stats = await hook.stats();
    assert.deepEqual([stats.accepted, stats.revived, stats.duplicates, stats.dead, stats.done], [1, 1, 1, 0, 2]);
    assert.equal(await hook.count('dead_letters'), 0);
  });

  it('after ten revivals it stays dead', async (t) => {
    const broken = recorder({ on: ['github/*'], then: 'exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { broken } });
    assertAnswer(await hook.send('github', { id: 'r1' }), 'accepted');
    for (let round = 1; round <= 10; round++) {
      await hook.settled('github/r1', { state: 'dead' });
      assertAnswer(await hook.send('github', { id: 'r1' }), 'revived', `round ${round}`);
    }
    await hook.settled('github/r1', { state: 'dead' });
    const answer = await hook.send('github', { id: 'r1' });
    assertAnswer(answer, 'duplicate');
    assert.equal(answer.state, 'dead');
    assert.equal(await broken.runs(), 11);
  });

  it('the dead of a handler that is gone are not revived', async (t) => {
    const broken = recorder({ on: ['github/*'], then: 'exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { broken } });
    await hook.send('github', { id: 'g1' });
    await hook.settled('github/g1', { state: 'dead' });
    await hook.restart({ handlers: {} });
    const answer = await hook.send('github', { id: 'g1' });
    assertAnswer(answer, 'duplicate');
    assert.equal(answer.state, 'dead');
  });
});
