// A disk that is slow, and one that never answers: who waits is told in time, readiness says so, and a watchdog ends what hangs.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertAnswer, github, http, plain, serve, spread, until } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';
import { trace } from './tracer.mjs';

const tracing = { env: { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0` } }; // leaks cannot be looked for under a tracer
const seconds = (since) => (performance.now() - since) / 1000;

describe('a slow disk', { timeout: 180_000, concurrency: 2 }, () => {
  it('row 10: syncs of 200 ms make batches grow, and everybody is answered', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: {}, ...tracing });
    const { detach } = await trace(t, hook.pid, 'fdatasync:delay_enter=200ms');
    const before = Number((await hook.admin('/metrics')).text.match(/^hooklatch_commits_total (\d+)/m)[1]);
    const count = share(400, 100);
    const ids = Array.from({ length: count }, (_, n) => `a${n}`);
    await spread(ids, 32, async (id) => assertAnswer(await hook.send('github', { id }), 'accepted'));
    const commits = Number((await hook.admin('/metrics')).text.match(/^hooklatch_commits_total (\d+)/m)[1]) - before;
    await detach();
    assert.ok(commits * 4 < count, `${commits} commits for ${count} events`);
    assert.equal(await hook.count('events'), count);
    score(t, 10, { cases: count });
  });

  it('row 10: a sync that hangs is answered 503 before the provider gives up, readiness says no, and what was stored all the same is a duplicate', async (t) => {
    const hook = await serve(t, { sources: { plain }, handlers: {}, ...tracing });
    assertAnswer(await hook.send('plain', { id: 'before' }), 'accepted');
    const { detach } = await trace(t, hook.pid, 'fdatasync:delay_enter=3600s');
    const asked = performance.now();
    const answers = Array.from({ length: 8 }, (_, n) => hook.send('plain', { id: `b${n}`, deadline: 12_000 }));
    await until('readiness to say no', async () => {
      const { status, text } = await hook.admin('/readyz');
      return status === 503 && /store stuck/.test(text);
    });
    for (const answer of await Promise.all(answers)) {
      assertAnswer(answer, 'store_unavailable');
      assert.ok(answer.header('retry-after'), 'Retry-After');
    }
    assert.ok(seconds(asked) < 10, `answered after ${seconds(asked)} s`);
    const from = performance.now();
    await detach();
    await until('readiness to say yes', async () => (await hook.admin('/readyz')).status === 200);
    const took = seconds(from);
    for (let n = 0; n < 8; n++) assert.match((await hook.send('plain', { id: `b${n}` })).result, /^(accepted|duplicate)$/);
    assert.equal(await hook.count('events'), 9);
    score(t, 10, { cases: 8, seconds: took });
  });

  it('row 10: what is more than a slow disk takes for long is answered 503, and all that was accepted is there', async (t) => {
    const hook = await serve(t, { listen: [http()], sources: { github }, handlers: {}, limits: { connections_per_address: 5000 }, ...tracing });
    const { detach } = await trace(t, hook.pid, 'fdatasync:delay_enter=400ms');
    const from = performance.now();
    const words = { accepted: 0, overloaded: 0 };
    const senders = Array.from({ length: 1800 }, (_, n) => n); // more than two batches wait at any time
    await spread(senders, senders.length, async (n) => {
      for (let count = 0; seconds(from) < 10 && words.overloaded < 2000; count++) {
        const answer = await hook.send('github', { id: `${n}-${count}`, deadline: 30_000 });
        assertAnswer(answer, answer.result === 'overloaded' ? 'overloaded' : 'accepted');
        words[answer.result] += 1;
      }
    });
    const took = seconds(from);
    await detach();
    assert.ok(words.overloaded > 0, `${words.accepted} accepted, none refused`);
    assert.ok(hook.log.some(({ event }) => event === 'store.overloaded'));
    assertAnswer(await hook.send('github', { id: 'after' }), 'accepted');
    assert.equal(await hook.count('events'), words.accepted + 1);
    score(t, 10, { cases: words.accepted + words.overloaded, seconds: took });
  });

  it('row 10: a watchdog ends a service whose disk never answers, and the next life has what was acknowledged', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: {}, limits: { stall_timeout: '2s' }, ...tracing });
    for (let n = 0; n < 5; n++) assertAnswer(await hook.send('github', { id: `c${n}` }), 'accepted');
    const { detach } = await trace(t, hook.pid, 'fdatasync:delay_enter=3600s');
    const from = performance.now();
    const open = hook.send('github', { id: 'late' }).then((answer) => answer.result, () => 'nothing');
    await hook.logged('service.stalled');
    await detach(); // a tracer must let a process go before its parent hears of its end
    const death = await hook.dies();
    const took = seconds(from);
    assert.deepEqual(death, { code: 1, signal: null });
    assert.ok(took >= 2, `it ended after ${took} s`);
    const late = await open; // let go in its last moments, the sync may have come back: then the answer is true
    const entry = hook.log.find(({ event }) => event === 'service.stalled');
    assert.equal(entry?.thread, 'store');
    await hook.start();
    for (let n = 0; n < 5; n++) assertAnswer(await hook.send('github', { id: `c${n}` }), 'duplicate');
    if (late !== 'nothing') assertAnswer(await hook.send('github', { id: 'late' }), 'duplicate');
    score(t, 10, { cases: 1, seconds: seconds(from) });
  });

  it('row 22: a service that stood still longer than that is not ended for it', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: {}, limits: { stall_timeout: '2s' } });
    const cases = share(3, 1);
    for (let round = 0; round < cases; round++) {
      process.kill(hook.pid, 'SIGSTOP');
      const from = performance.now();
      const answer = hook.send('github', { id: `d${round}`, deadline: 30_000 });
      await until('twice that time', () => seconds(from) > 4);
      process.kill(hook.pid, 'SIGCONT');
      assertAnswer(await answer, 'accepted');
    }
    assert.equal(hook.alive, true);
    score(t, 22, { cases });
  });
});
