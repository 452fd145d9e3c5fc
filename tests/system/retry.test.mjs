// Tries that fail: again after the promised wait and never earlier, within the budget and never above it, dead in the end.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { score } from '../faults/matrix.mjs';
import { assertAnswer, github, recorder, serve, spread, until } from './hook.mjs';

const failing = (keys) => recorder({ on: ['github/*'], then: 'echo broken >&2; stamp end; exit 1', ...keys });

// The time between the end of each try, as the program saw it, and the start of the next: never less than the service waited.
async function gaps(program, id) {
  const notes = (await program.notes()).filter((note) => note.id === id);
  const starts = notes.filter((note) => note.what === 'start');
  const ends = notes.filter((note) => note.what === 'end');
  return starts.slice(1).map((start, n) => start.time - ends[n].time);
}

// The most that began within any `span` milliseconds.
function peak(times, span) {
  const sorted = [...times].sort((a, b) => a - b);
  let most = 0;
  for (let first = 0, last = 0; last < sorted.length; last++) {
    while (sorted[last] - sorted[first] >= span) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}
// A program notes its start when it runs, the service took the token somewhat earlier: what was spread over 1 s may be noted within this time.
const SPAN_MS = 800;

describe('retry', { timeout: 180_000, concurrency: 4 }, () => {
  it('the waits grow by the factor up to the maximum, then it is dead with its reason and its last words', async (t) => {
    const program = failing({ retry: { attempts: 5, first: '200ms', factor: 2, max: '500ms', jitter: 'none' } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    assertAnswer(await hook.send('github', { id: 'r1' }), 'accepted');
    const [{ attempts, last_error: error }] = await hook.settled('github/r1', { state: 'dead' });
    assert.equal(attempts, 5);
    assert.ok(error);
    assert.deepEqual((await program.records()).map((record) => record.attempt), [1, 2, 3, 4, 5]);
    const waited = await gaps(program, 'r1');
    for (const [n, least] of [200, 400, 500, 500].entries()) assert.ok(waited[n] >= least, `wait ${n + 1} was ${waited[n]} ms, promised ${least}`);
    const [letter] = await hook.json('dead', 'list');
    for (const key of ['id', 'source', 'event_id', 'type', 'handler', 'attempts', 'reason', 'last_error', 'first_failed_at', 'died_at']) assert.ok(letter[key] !== undefined && letter[key] !== null && letter[key] !== '', `${key} of ${JSON.stringify(letter)}`);
    assert.deepEqual([letter.source, letter.event_id, letter.handler, letter.attempts], ['github', 'r1', 'program', 5]);
    assert.match(await hook.ok('dead', 'show', String(letter.id)), /broken/);
    assert.equal(hook.log.filter((entry) => entry.event === 'attempt.failed' && entry.event_id === 'r1').length, 5);
    await hook.logged((entry) => entry.event === 'delivery.dead' && entry.event_id === 'r1');
  });

  it('each failed try has a row, the waiting one says when', async (t) => {
    const program = failing({ retry: { attempts: 5, first: '10m', factor: 2, max: '1h', jitter: 'none' } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    const before = Date.now();
    await hook.send('github', { id: 'r1' });
    const row = await until('the first failure', async () => {
      const [delivery] = await hook.deliveries('github/r1');
      return delivery?.last_error && delivery.state === 'pending' && delivery;
    });
    assert.equal(row.attempts, 1);
    assert.ok(Date.parse(row.next_attempt_at) >= before + 600_000, `next_attempt_at ${row.next_attempt_at}`);
    assert.equal(await hook.count('attempts'), 1);
    const [listed] = await hook.json('events', 'list', '--id', 'r1');
    const [delivery] = listed.deliveries;
    assert.deepEqual([delivery.handler, delivery.state, delivery.attempts], ['program', 'pending', 1]);
    assert.ok(delivery.last_error);
    assert.ok(Date.parse(delivery.next_attempt_at) >= before + 600_000);
    assert.equal((await hook.send('github', { id: 'r1' })).state, 'pending');
  });

  it('a wait outlives a restart and is not cut short by it', async (t) => {
    const program = failing({ retry: { attempts: 2, first: '3s', factor: 1, max: '3s', jitter: 'none' } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await hook.send('github', { id: 'r1' });
    await until('the first failure', async () => (await hook.deliveries('github/r1'))[0]?.last_error);
    await hook.restart();
    await hook.settled('github/r1', { state: 'dead' });
    const [waited] = await gaps(program, 'r1');
    assert.ok(waited >= 3000, `waited ${waited} ms`);
  });

  it('a try that succeeds ends it, and the handler knows which one it is', async (t) => {
    const program = recorder({ on: ['github/*'], retry: { attempts: 5, first: '100ms', factor: 1, max: '1s', jitter: 'full' }, then: '[ "$HOOKLATCH_ATTEMPT" = 3 ]' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await hook.send('github', { id: 'r1' });
    const [{ attempts }] = await hook.settled('github/r1', { state: 'done' });
    assert.equal(attempts, 3);
    assert.equal(await program.runs(), 3);
    assert.equal(await hook.count('dead_letters'), 0);
  });

  it('one attempt means one', async (t) => {
    const program = failing({ retry: { attempts: 1 } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await hook.send('github', { id: 'r1' });
    await hook.settled('github/r1', { state: 'dead' });
    assert.equal(await program.runs(), 1);
  });

  it('it gives up after the time that was said, not before', async (t) => {
    const program = failing({ retry: { attempts: 1000, first: '200ms', factor: 1, max: '200ms', jitter: 'none', give_up_after: '2s' } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await hook.send('github', { id: 'r1' });
    const [{ attempts }] = await hook.settled('github/r1', { state: 'dead' });
    assert.ok(attempts < 1000 && attempts > 1, `${attempts} attempts`);
    const [first] = await program.notes('start');
    const [letter] = await hook.json('dead', 'list');
    assert.ok(Date.parse(letter.died_at) - first.time >= 2000, 'it gave up early');
    assert.equal(await program.runs(), attempts);
  });

  it('row 34: a thousand events that fail together are tried again within the budget, and none is lost', async (t) => {
    const [rate, burst] = [150, 50];
    const program = failing({ concurrency: 8, retry: { attempts: 2, first: '100ms', factor: 1, max: '1s', jitter: 'full' } });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: { rate: `${rate}/s`, burst }, workers: 8, log: { format: 'json', level: 'info' } });
    await spread(Array.from({ length: 1000 }), 16, async (_, n) => assertAnswer(await hook.send('github', { id: `n${n}` }), 'accepted'));
    await hook.idle({ deadline: 60_000 });
    const tries = await program.records();
    assert.equal(tries.length, 2000, 'waiting for a token costs no attempt');
    const again = tries.filter((record) => record.attempt > 1).map((record) => record.time);
    assert.equal(again.length, 1000);
    const most = peak(again, SPAN_MS);
    assert.ok(most <= burst + rate, `${most} tries after the first within ${SPAN_MS} ms; burst + rate is ${burst + rate}`);
    assert.equal(await hook.count('deliveries', "state = 'dead' and attempts = 2"), 1000);
    score(t, 34, { cases: 1000 });
  });

  it('every try of a replay needs a token, the first one too', async (t) => {
    const program = recorder({ on: ['github/*'], concurrency: 8, then: '[ -e "$dir/good" ] || exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: { rate: '5/s', burst: 2 } });
    for (let n = 0; n < 15; n++) await hook.send('github', { id: `n${n}` });
    await hook.idle();
    await writeFile(hook.path('good'), '');
    await hook.ok('dead', 'replay', '--all', '--yes');
    await until('all to be done', async () => (await hook.stats()).done === 15);
    const times = (await program.records()).slice(15).map((record) => record.time);
    assert.equal(times.length, 15);
    const most = peak(times, SPAN_MS);
    assert.ok(most <= 7, `${most} replayed tries within ${SPAN_MS} ms; burst + rate is 7`);
  });

  it('a handler’s own budget binds it alone', async (t) => {
    const retry = { attempts: 2, first: '100ms', factor: 1, max: '100ms', jitter: 'none' };
    const bound = failing({ retry, concurrency: 8, retry_budget: { rate: '10/s', burst: 3 } });
    const free = failing({ retry, concurrency: 8 });
    const hook = await serve(t, { sources: { github }, handlers: { bound, free } });
    await spread(Array.from({ length: 40 }), 8, (_, n) => hook.send('github', { id: `n${n}` }));
    await hook.idle();
    for (const program of [bound, free]) assert.equal(await program.runs(), 80);
    const times = async (program) => (await program.records()).filter((record) => record.attempt === 2).map((record) => record.time);
    const most = peak(await times(bound), SPAN_MS);
    assert.ok(most <= 13, `${most} tries after the first within ${SPAN_MS} ms`);
    assert.ok(Math.max(...await times(free)) < Math.max(...await times(bound)), 'the free one waited for the bound one');
  });
});
