// Stopping: what is on the wire is finished, handlers end or are given back, nothing is left over, exit 0.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, Connection, github, isAlive, recorder, requestBytes, serve, signedRequest, spread, understood, until, waitFor, within } from './hook.mjs';

// SIGTERM without waiting, and without closing our connections.
function ask(hook, signal = 'SIGTERM') {
  hook.mortal = true; // the test looks at how it ends
  process.kill(hook.pid, signal);
}
const ended = async (hook) => assert.deepEqual(await within('the service to end', hook.death, { say: () => hook.tail() }), { code: 0, signal: null });

describe('stop', { timeout: 120_000, concurrency: 6 }, () => {
  it('a handler that runs is waited for, and what it did is kept', async (t) => {
    const program = recorder({ on: ['github/*'], then: `${waitFor('gate')}; stamp end` });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await hook.send('github', { id: 's1' });
    await hook.settled('github/s1', { state: 'running' });
    await until('the program to run', async () => (await program.runs()) === 1);
    ask(hook);
    await until('the door to be shut', () => Connection.open(hook.address()).then((connection) => connection.close(), (error) => error.code === 'ECONNREFUSED'));
    assert.equal(await isAlive(hook.pid), true);
    await writeFile(hook.path('gate'), '');
    await ended(hook);
    assert.equal((await hook.deliveries('github/s1'))[0].state, 'done');
    assert.equal((await program.notes('end')).length, 1);
    await hook.start();
    await hook.idle();
    assert.equal(await program.runs(), 1, 'it is not run again');
  });

  it('a handler that does not end within the drain time is given back uncounted, and nothing of it is left', async (t) => {
    const program = recorder({ on: ['github/*'], timeout: '5m', then: `trap '' TERM; ${waitFor('gate')}` });
    const hook = await serve(t, { sources: { github }, handlers: { program }, drain: '1s' });
    await hook.send('github', { id: 's1' });
    await until('the program to run', async () => (await program.runs()) === 1);
    const [{ pid }] = await program.records();
    ask(hook);
    await ended(hook);
    assert.equal(await isAlive(pid), false);
    const [row] = await hook.deliveries('github/s1');
    assert.deepEqual([row.state, row.attempts], ['pending', 0]);
    await writeFile(hook.path('gate'), '');
    await hook.start();
    await hook.settled('github/s1', { state: 'done' });
    assert.deepEqual((await program.records()).map((record) => record.attempt), [1, 1]);
  });

  it('a second SIGTERM ends handlers at once', async (t) => {
    const program = recorder({ on: ['github/*'], timeout: '5m', then: 'sleep 300' });
    const hook = await serve(t, { sources: { github }, handlers: { program }, drain: '10m' });
    await hook.send('github', { id: 's1' });
    await until('the program to run', async () => (await program.runs()) === 1);
    ask(hook);
    await until('the door to be shut', () => Connection.open(hook.address()).then((connection) => connection.close(), (error) => error.code === 'ECONNREFUSED'));
    ask(hook);
    await ended(hook);
    assert.equal((await hook.deliveries('github/s1'))[0].state, 'pending');
  });

  it('a request that has begun is answered', async (t) => {
    const hook = await serve(t, { sources: { github } });
    const { headers, body } = signedRequest(github, { id: 'half' });
    const bytes = requestBytes({ target: '/github', headers, body });
    const connection = await hook.connect();
    await connection.write(bytes.subarray(0, -5));
    const idle = await hook.connect();
    assertAnswer(await hook.send('github', { connection: idle, id: 'before' }), 'accepted');
    ask(hook);
    await idle.ended();
    await connection.write(bytes.subarray(-5));
    assertAnswer(understood(await connection.response()), 'accepted');
    await connection.ended();
    await ended(hook);
    assert.ok(await hook.event('github/half'));
  });

  it('under load nobody who was told accepted is forgotten', async (t) => {
    const program = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    const taken = [];
    const lanes = spread(Array.from({ length: 8 }), 8, async (_, lane) => {
      for (let n = 0; ; n++) {
        const answer = await hook.send('github', { id: `${lane}-${n}` }).catch(() => null);
        if (!answer) return;
        assertAnswer(answer, 'accepted');
        taken.push(answer.id);
      }
    });
    await until('some load', () => taken.length > 200);
    ask(hook);
    await lanes;
    await ended(hook);
    const stored = new Set((await hook.sql('select event_id from events')).map((row) => row.event_id));
    assert.deepEqual(taken.filter((id) => !stored.has(id)), []);
    await hook.start();
    await hook.idle();
    for (const id of stored) assert.ok((await program.runs(id)) >= 1, id);
  });
});
