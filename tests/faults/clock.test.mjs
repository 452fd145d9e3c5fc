// Clocks that lie and time that stands still: the wall clock jumps while the service runs, is wrong at a start and set right later, and the
// process is stopped and goes on. Waits are kept, nothing is purged before its time, and what cannot be judged is refused.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Clock } from '../system/clock.mjs';
import { assertAnswer, github, patience, prepare, recorder, seconds, spread, stripe, until, waitFor } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const jumps = { 'an hour back': -HOUR_MS, 'an hour ahead': HOUR_MS, 'ten years ahead': 3653 * DAY_MS, 'to 1970': 3 * DAY_MS - Date.now() };
const WAIT_MS = 1500;
const failing = (keys) => recorder({ on: ['github/*'], concurrency: 8, retry: { attempts: 3, first: `${WAIT_MS}ms`, factor: 1, max: '2s', jitter: 'none' }, then: 'stamp end; exit 1', ...keys });
const budget = { rate: '1000/s', burst: 1000 };

// With the service stopped: what time has done to the store.
const change = (hook, sql) => promisify(execFile)('sqlite3', [hook.database, sql]);

async function prepareClock(t, options) {
  const hook = await prepare(t, { retry_budget: budget, ...options });
  const clock = new Clock(hook);
  t.after(() => clock.close());
  return { hook, clock, life: { env: clock.env } };
}

// How many tries began before the wait after the one before them was over, as the programs saw it by a clock that nobody moved.
async function early(program, wait) {
  const ends = new Map();
  for (const note of await program.notes('end')) ends.set(`${note.id} ${note.attempt}`, note.time);
  const again = (await program.records()).filter((note) => note.attempt > 1);
  return again.filter((note) => note.time - ends.get(`${note.id} ${note.attempt - 1}`) < wait).map((note) => `${note.id}, try ${note.attempt}: ${note.time - ends.get(`${note.id} ${note.attempt - 1}`)} ms`);
}

describe('clock', { timeout: 180_000, concurrency: 3 }, () => {
  it('row 21: when the clock jumps no try is made early or held up, and what is no longer near is refused', async (t) => {
    let cases = 0;
    const unexpected = [];
    const silent = [];
    await spread(Object.entries(jumps), 2, async ([name, jump]) => {
      const program = failing();
      const { hook, clock, life } = await prepareClock(t, { sources: { github, stripe }, handlers: { program } });
      await hook.start(life);
      const count = share(100, 10);
      const ids = Array.from({ length: count }, (_, n) => `e${n}`);
      await spread(ids, 8, async (id) => assertAnswer(await hook.send('github', { id }), 'accepted', name));
      await until('each to have failed once', async () => (await hook.count('deliveries', 'attempts = 1 and last_error is not null')) === count);
      clock.run(jump);
      const since = hook.log.length;
      const word = jump > 0 ? 'timestamp_too_old' : 'timestamp_in_future';
      assertAnswer(await hook.send('stripe', { id: 'now' }), word, name);
      const refused = await hook.logged('request.rejected', { since });
      if (!/\bclock\b/.test(refused.line)) silent.push(`${name}: ${refused.why ?? refused.line}`);
      assertAnswer(await hook.send('stripe', { id: 'then', timestamp: seconds() + Math.round(jump / 1000) }), 'accepted', name);
      await spread(ids, 8, async (id) => assertAnswer(await hook.send('github', { id: `${id}-after` }), 'accepted', name));
      await hook.idle();
      assert.equal((await program.records()).length, 6 * count, name);
      unexpected.push(...(await early(program, WAIT_MS)).map((what) => `${name}: ${what}`));
      assert.ok((await hook.stats()).oldest_pending_seconds >= 0, name);
      clock.run();
      assertAnswer(await hook.send('stripe', { id: 'now' }), 'accepted', name);
      assert.equal(await hook.count('events', "event_id = 'now'"), 1, name);
      cases += 6 * count + 3;
    });
    assert.deepEqual(unexpected, []);
    assert.deepEqual(silent, [], 'refused for their time, and the log says nothing of a clock');
    score(t, 21, { cases, unexpected: unexpected.length });
  });

  it('row 21: a clock that trembles by 50 ms makes no try early', async (t) => {
    const wait = 300;
    const program = failing({ retry: { attempts: 3, first: `${wait}ms`, factor: 1, max: '1s', jitter: 'none' } });
    const { hook, clock, life } = await prepareClock(t, { sources: { github }, handlers: { program } });
    await hook.start(life);
    let turn = 0;
    const timer = setInterval(() => clock.run(turn++ % 2 === 0 ? 50 : -50), 3);
    const count = share(1000, 60);
    try {
      await spread(Array.from({ length: count }), 8, async (_, n) => assertAnswer(await hook.send('github', { id: `e${n}` }), 'accepted'));
      await hook.idle({ deadline: 60_000 });
    } finally {
      clearInterval(timer);
    }
    assert.equal((await program.records()).length, 3 * count);
    assert.deepEqual(await early(program, wait), []);
    score(t, 21, { cases: 3 * count });
  });

  it('row 21: who has taken work keeps it as long as was promised, whatever the clock does', async (t) => {
    const jobs = { on: ['github/*'], pull: { visibility: '4s' } };
    const { hook, clock, life } = await prepareClock(t, { sources: { github }, handlers: { jobs } });
    const call = async (target) => JSON.parse((await hook.admin(target, { method: 'POST' })).text);
    await hook.start(life);
    const unexpected = [];
    for (const [name, jump] of Object.entries(jumps).slice(0, share(4, 2))) {
      await hook.send('github', { id: name.replaceAll(' ', '-') });
      const begun = performance.now();
      const [first] = await call('/v1/handlers/jobs/take');
      clock.run(jump);
      const next = async () => {
        const [item] = await call('/v1/handlers/jobs/take?wait=1s');
        return item;
      };
      // Given out again when its time is over, by the time that passes: not sooner, and not an hour later.
      const second = await until('it to be given out again', next, { deadline: 8_000 }).catch(() => null);
      const took = performance.now() - begun;
      if (second === null) unexpected.push(`${name}: not given out again after twice its time`);
      else if (took < 4000) unexpected.push(`${name}: given out again after ${Math.round(took)} ms`);
      else assert.equal((await hook.admin(`/v1/leases/${second.lease}/ack`, { method: 'POST' })).status, 200);
      clock.run();
      await hook.admin(`/v1/leases/${(second ?? first).lease}/ack`, { method: 'POST' });
    }
    assert.deepEqual(unexpected, []);
    score(t, 21, { cases: share(4, 2), unexpected: unexpected.length });
  });

  // What is looked at by the purge is looked at in the order of arrival: when `first` is gone, all that came after it was judged as well.
  const purged = async (hook, life, clock, jump) => {
    await hook.stop();
    await change(hook, `UPDATE events SET received_at = '2001-01-01T00:00:00.000000Z' WHERE event_id = 'first'`);
    clock.run(jump);
    await hook.start(life);
    await until('what is old to go', async () => (await hook.count('events', "event_id = 'first'")) === 0);
    return (await hook.sql('select event_id from events')).map((row) => row.event_id);
  };

  it('rows 21, 23: nothing is purged before its time: neither by a jump, nor because it came while the clock was wrong', async (t) => {
    const orders = [['to 1970'], ['ten years ahead'], ['an hour back'], ['an hour ahead'], ['to 1970', 'ten years ahead', 'an hour back', 'an hour ahead']];
    let cases = 0;
    const lost = [];
    await spread(orders, 2, async (order) => {
      const note = { on: ['github/*'], log: {} };
      const { hook, clock, life } = await prepareClock(t, { sources: { github }, handlers: { note }, retention: '45d' });
      await hook.start(life);
      assertAnswer(await hook.send('github', { id: 'first' }), 'accepted');
      for (const name of order) {
        clock.run(jumps[name]);
        assertAnswer(await hook.send('github', { id: name }), 'accepted', name);
        await hook.idle();
        clock.run();
      }
      assertAnswer(await hook.send('github', { id: 'last' }), 'accepted');
      await hook.idle();
      const left = await purged(hook, life, clock, 0);
      for (const id of [...order, 'last']) if (!left.includes(id)) lost.push(`${id}, of ${order.join(', ')}`);
      cases += order.length + 1;
    });
    assert.deepEqual(lost, [], 'events that were purged as if they were old');
    score(t, 21, { cases });
    score(t, 23, { cases });
  });

  // `told`: the service had the time to write down how far its horizon is.
  const begun = [['ten years ahead', true], ['to 1970', true], ['to 1970', false]];
  it('row 23: a store that was begun in a wrong year keeps its events when the clock is set right', async (t) => {
    const lost = [];
    await spread(begun, 3, async ([name, told]) => {
      const note = { on: ['github/*'], log: {} };
      const { hook, clock, life } = await prepareClock(t, { sources: { github }, handlers: { note }, retention: '45d' });
      clock.run(jumps[name]);
      await hook.start(life);
      for (const id of ['first', 'wrong']) assertAnswer(await hook.send('github', { id }), 'accepted', name);
      await hook.idle();
      if (told) await until('the horizon to be stored', async () => (await hook.sql("select 1 from meta where name = 'horizon' and value <> 0")).length === 1);
      clock.run();
      assertAnswer(await hook.send('github', { id: 'stepped' }), 'accepted', name);
      await hook.restart(undefined, life);
      assertAnswer(await hook.send('github', { id: 'right' }), 'accepted', name);
      await hook.idle();
      const left = jumps[name] > 0 ? await purged(hook, life, clock, 0) : (await hook.sql('select event_id from events')).map((row) => row.event_id);
      for (const id of ['wrong', 'stepped', 'right']) if (!left.includes(id)) lost.push(`${id}, begun ${name}${told ? '' : ', soon restarted'}`);
    });
    assert.deepEqual(lost, [], 'events that were purged as if they were old');
    score(t, 23, { cases: 3 * begun.length });
  });

  it('row 23: a start with a wrong clock makes no waiting try early beyond a restart in time, and none waits longer than its maximum', async (t) => {
    const program = failing({ retry: { attempts: 2, first: '2s', factor: 1, max: '2s', jitter: 'none' } });
    const { hook, clock, life } = await prepareClock(t, { sources: { github }, handlers: { program } });
    let cases = 0;
    await hook.start(life);
    for (const name of ['to 1970', 'an hour back']) {
      const id = name.replaceAll(' ', '-');
      assertAnswer(await hook.send('github', { id }), 'accepted');
      await until('the first failure', async () => (await hook.deliveries(`github/${id}`))[0]?.last_error);
      await hook.stop();
      clock.run(jumps[name]);
      await hook.start(life);
      await hook.settled(`github/${id}`, { state: 'dead', deadline: 10_000 }); // by its clock it would be due in years
      await hook.stop();
      clock.run();
      await hook.start(life);
      cases += 1;
    }
    assert.deepEqual(await early(program, 2000), []);
    score(t, 23, { cases });
  });

  it('row 22: a process that stood still goes on where it was: nothing runs twice, nothing is lost, nobody is left without an answer', async (t) => {
    const timeout = share(3, 1);
    const program = recorder({ on: ['github/push'], concurrency: 4, timeout: `${timeout}s`, retry: { attempts: 3, first: '100ms', jitter: 'none' }, then: `${waitFor('gate')}; stamp end` });
    const { hook } = await prepareClock(t, { sources: { github }, handlers: { program, jobs: { on: ['github/job'], pull: { visibility: '30s' } }, note: { on: ['github/*'], log: {} } } });
    await hook.start();
    const running = Array.from({ length: 4 }, (_, n) => `running${n}`);
    for (const id of running) assertAnswer(await hook.send('github', { id }), 'accepted');
    assertAnswer(await hook.send('github', { id: 'job', type: 'job' }), 'accepted');
    const take = async () => JSON.parse((await hook.admin('/v1/handlers/jobs/take', { method: 'POST' })).text);
    const [{ lease }] = await take();
    await until('all to run', async () => (await program.runs()) === 4);
    process.kill(hook.pid, 'SIGSTOP');
    const stopped = performance.now();
    let answers;
    try {
      answers = Promise.all(Array.from({ length: 20 }, (_, n) => hook.send('github', { id: `during${n}`, deadline: 40_000 })));
      answers.catch(() => {});
      await writeFile(hook.path('gate'), ''); // they end meanwhile, unseen
      await until('all to have ended', async () => (await program.notes('end')).length === 4);
      await until('their time to be over', () => performance.now() - stopped > (timeout + 0.5) * 1000, { deadline: 10_000 * Math.max(1, patience) });
    } finally {
      process.kill(hook.pid, 'SIGCONT');
    }
    const began = performance.now();
    for (const answer of await answers) assertAnswer(answer, 'accepted');
    assert.equal((await hook.admin(`/v1/leases/${lease}/ack`, { method: 'POST' })).status, 200, 'the lease was not taken away');
    await hook.idle();
    const elapsed = (performance.now() - began) / 1000;
    assert.equal(await program.runs(), 24, 'each ran once');
    assert.equal((await hook.count('deliveries', "handler = 'program' and (state <> 'done' or attempts <> 1)")), 0);
    assert.deepEqual(await take(), []);
    score(t, 22, { cases: 25, seconds: elapsed });
  });
});
