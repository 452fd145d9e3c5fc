// What a handler's guarantee means when tries fail and processes die.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { describe, it } from 'node:test';
import { assertAnswer, end, github, recorder, serve, until } from './hook.mjs';

const once = { on: ['github/*'], guarantee: 'at-most-once', why: 'twice would be worse than never' };
async function outcome(hook, id, handler) {
  const [event] = await hook.json('events', 'list', '--id', id);
  return event.deliveries.find((delivery) => delivery.handler === handler).outcome;
}

describe('guarantee', { timeout: 120_000, concurrency: 4 }, () => {
  it('at-most-once is done before it is tried, and says how it went', async (t) => {
    const good = recorder(once);
    const bad = recorder({ ...once, then: 'echo no >&2; exit 1' });
    const refused = recorder({ ...once, then: 'exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { good, bad, refused } });
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    await hook.settled('github/a', { state: 'done' });
    await until('the outcomes', async () => (await outcome(hook, 'a', 'good')) === 'succeeded' && (await outcome(hook, 'a', 'bad')) === 'failed' && (await outcome(hook, 'a', 'refused')) === 'failed');
    assertAnswer(await hook.send('github', { id: 'a' }), 'duplicate', 'never dead, never revived');
    assert.equal(await hook.count('dead_letters'), 0);
    await hook.restart();
    await hook.idle();
    for (const program of [good, bad, refused]) assert.equal(await program.runs(), 1);
  });

  it('at-most-once says unknown of a try that was cut off, failed of one that never began', async (t) => {
    const hangs = recorder({ ...once, timeout: '200ms', then: 'sleep 300' });
    const silent = http.createServer(() => {}); // takes the request and never answers
    await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      silent.closeAllConnections();
      silent.close();
    });
    const gone = http.createServer();
    await new Promise((resolve) => gone.listen(0, '127.0.0.1', resolve));
    const closed = gone.address().port;
    await new Promise((resolve) => gone.close(resolve));
    const mute = { ...once, timeout: '300ms', http: { url: `http://127.0.0.1:${silent.address().port}/` } };
    const nobody = { ...once, timeout: '5s', http: { url: `http://127.0.0.1:${closed}/` } };
    const hook = await serve(t, { sources: { github }, handlers: { hangs, mute, nobody } });
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    for (const handler of ['hangs', 'mute', 'nobody']) await hook.logged((entry) => entry.event === 'attempt.failed' && entry.handler === handler);
    await until('the outcome that is known', async () => (await outcome(hook, 'a', 'nobody')) === 'failed');
    for (const handler of ['hangs', 'mute']) assert.equal(await outcome(hook, 'a', handler), 'unknown');
  });

  it('at-most-once is not run again after the process was killed', async (t) => {
    const program = recorder({ ...once, timeout: '5m', then: 'sleep 300' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    await until('it to run', async () => (await program.runs()) === 1);
    assert.equal((await hook.deliveries('github/a'))[0].state, 'done');
    await hook.kill();
    const children = await hook.offspring();
    for (const { pid } of children) end(pid);
    await hook.start();
    assertAnswer(await hook.send('github', { id: 'b' }), 'accepted');
    await until('the next one to run', async () => (await program.runs('b')) === 1);
    assert.equal(await program.runs('a'), 1);
    assert.equal(await outcome(hook, 'a', 'program'), 'unknown');
    const { pid } = (await program.records()).at(-1);
    end(-pid); // its whole group; otherwise the drain waits for it
  });

  it('at-least-once is run again after the process was killed, with the same key', async (t) => {
    const program = recorder({ on: ['github/*'], guarantee: 'at-least-once', retry: { attempts: 3, first: '100ms', factor: 1, max: '1s', jitter: 'none' }, then: `echo "$HOOKLATCH_IDEMPOTENCY_KEY" >>"$dir/keys"; [ "$HOOKLATCH_ATTEMPT" = 2 ] || sleep 300` });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    await until('it to run', async () => (await program.runs()) === 1);
    await hook.kill();
    for (const { pid } of await hook.offspring()) end(pid);
    await hook.start();
    await hook.settled('github/a', { state: 'done' });
    await until('both keys', async () => (await readFile(hook.path('keys'), 'utf8')) === 'github/a/program\ngithub/a/program\n');
  });
});
