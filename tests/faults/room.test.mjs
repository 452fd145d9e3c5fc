// A system that has no room for another process or thread: a start says so and ends, a service waits with its work and goes on receiving.
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { rm, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, prepare, recorder, spread, until, waitFor } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';
import { compile, runtimeOf } from './preload.mjs';

const on = ['github/*'];
const retry = (attempts) => ({ attempts, first: '50ms', factor: 1, max: '1s', jitter: 'none' });
const budget = { rate: '10000/s', burst: 10_000 };
const preload = (hook) => [...runtimeOf(hook.binary), compile('room_preload.so', ['room_preload.c'], ['-fPIC', '-shared'])].join(' ');
const send = async (hook, id) => assertAnswer(await hook.send('github', { id, body: {} }), 'accepted', id);

describe('room', { timeout: 180_000, concurrency: 2 }, () => {
  it('row 37: while no process can be started, events wait without using up an attempt, and receiving goes on', async (t) => {
    const program = recorder({ on, concurrency: 4, retry: retry(1) });
    const hook = await prepare(t, { sources: { github }, handlers: { program, note: { on, log: {} } }, retry_budget: budget });
    const full = hook.path('full');
    await hook.start({ env: { LD_PRELOAD: preload(hook), HOOKLATCH_SPAWN: full } });
    let cases = 0;
    let slowest = 0;
    for (const code of ['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE'].slice(0, share(4, 2))) {
      await writeFile(full, String(constants.errno[code]));
      const since = hook.log.length;
      const ids = Array.from({ length: share(50, 5) }, (_, n) => `${code}${n}`);
      await spread(ids, 8, (id) => send(hook, id));
      await until('it to have been tried', async () => {
        for (const { attempts, state } of (await hook.sql("select attempts, state from deliveries where handler = 'program' and state <> 'done'"))) assert.ok(attempts <= 1 && (attempts === 0 || state === 'running'), `${code}: ${state}, ${attempts} attempts`);
        return hook.log.slice(since).some((entry) => /cannot start a process/.test(entry.line)) || (await hook.count('deliveries', "handler = 'program' and state = 'pending' and last_error like '%cannot start a process%'")) > 0;
      });
      for (const id of ids) await hook.settled(`github/${id}`, { handler: 'note', state: 'done' });
      await rm(full);
      const begun = performance.now();
      await hook.idle();
      slowest = Math.max(slowest, performance.now() - begun);
      for (const id of ids) assert.deepEqual((await hook.deliveries(`github/${id}`, 'program')).map((row) => [row.state, row.attempts]), [['done', 1]], id);
      cases += ids.length;
    }
    assert.equal((await program.records()).filter(({ attempt }) => attempt !== 1).length, 0);
    assert.equal(await program.runs(), cases);
    score(t, 37, { cases, seconds: slowest / 1000 });
  });

  it('row 37: a start for which there is no room for some thread ends at once and says so, and the next one is a good one', async (t) => {
    const hook = await prepare(t, { admin: [{ unix: 'hooklatch.sock' }, { http: '127.0.0.1:0' }], sources: { github }, handlers: { note: { on, log: {} } } });
    const full = hook.path('full');
    const life = { env: { LD_PRELOAD: preload(hook), HOOKLATCH_THREADS: full } };
    let cases = 0;
    for (;;) {
      await writeFile(full, String(cases));
      const failed = await hook.start(life).then(() => null, (error) => error);
      if (failed === null) break;
      assert.ok(failed.death, failed.message);
      assert.deepEqual(failed.death, { code: 1, signal: null }, `${cases} threads: ${failed.words}`);
      assert.match(failed.words, /cannot start the thread [a-z]+/, `${cases} threads`);
      hook.noise.length = 0; // nobody knows the log's format yet when its own thread is the one
      cases += 1;
    }
    assert.ok(cases >= 4, `${cases} threads in all`);
    await rm(full);
    await send(hook, 'e1');
    await hook.settled('github/e1', { state: 'done' });
    score(t, 37, { cases });
  });

  it('row 37: while no thread can be started, events wait without using up an attempt, and receiving goes on', async (t) => {
    const program = recorder({ on, concurrency: 4, retry: retry(1), then: waitFor('gate') });
    const hook = await prepare(t, { sources: { github }, handlers: { program }, retry_budget: budget });
    const full = hook.path('full');
    await hook.start({ env: { LD_PRELOAD: preload(hook), HOOKLATCH_THREADS: full } });
    await writeFile(full, '0');
    const ids = Array.from({ length: share(50, 5) }, (_, n) => `e${n}`);
    for (const id of ids) await send(hook, id);
    await hook.logged((entry) => /cannot start the thread/.test(entry.line));
    await send(hook, 'beside');
    assert.ok(hook.alive);
    await writeFile(hook.path('gate'), '');
    await rm(full);
    const begun = performance.now();
    await hook.idle();
    const seconds = (performance.now() - begun) / 1000;
    assert.equal(await hook.count('deliveries', "state = 'done' and attempts = 1"), ids.length + 1);
    assert.equal(await program.runs(), ids.length + 1);
    score(t, 37, { cases: ids.length, seconds });
  });
});
