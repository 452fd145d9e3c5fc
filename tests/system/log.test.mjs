// Logs: one JSON object a line, with the names of the contract; to stderr or to a file that may be moved away.
import assert from 'node:assert/strict';
import { readFile, rename } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, BODY_CANARY, github, recorder, secret, SECRET_CANARY, serve, until } from './hook.mjs';

const parsed = async (file) => (await readFile(file, 'utf8')).split('\n').slice(0, -1).map((line) => JSON.parse(line));

describe('log', { timeout: 120_000, concurrency: 4 }, () => {
  it('the way of an event can be read: accepted once, repeated, failed, dead, refused', async (t) => {
    const broken = recorder({ on: ['github/push'], then: `echo trouble >&2; exit 65` });
    const hook = await serve(t, { sources: { github }, handlers: { broken } });
    assert.equal(hook.ready.event, 'service.ready');
    assertAnswer(await hook.send('github', { id: 'l1', type: 'push' }), 'accepted');
    await hook.settled('github/l1');
    assertAnswer(await hook.send('github', { id: 'l2', type: 'issues' }), 'accepted'); // no handler wants it: it cannot be revived
    assertAnswer(await hook.send('github', { id: 'l2', type: 'issues' }), 'duplicate');
    assertAnswer(await hook.send('github', { secret: secret('other') }), 'signature_mismatch');
    const about = (event, id) => hook.logged((entry) => entry.event === event && entry.event_id === id);
    const accepted = await about('event.accepted', 'l1');
    assert.deepEqual([accepted.source, accepted.type], ['github', 'push']);
    const failed = await about('attempt.failed', 'l1');
    assert.deepEqual([failed.source, failed.handler, failed.attempt], ['github', 'broken', 1]);
    assert.equal(typeof failed.duration_ms, 'number');
    const dead = await about('delivery.dead', 'l1');
    assert.equal(dead.handler, 'broken');
    assert.equal((await about('event.duplicate', 'l2')).source, 'github');
    const rejected = await hook.logged('request.rejected');
    assert.match(rejected.line, /signature_mismatch/);
    assert.match(rejected.line, /127\.0\.0\.1/);
    assert.equal(hook.log.filter((entry) => entry.event === 'event.accepted' && entry.event_id === 'l1').length, 1);
  });

  it('an answer, its log lines and what a handler gets share their names', async (t) => {
    const broken = recorder({ on: ['github/*'], then: 'echo "$TRACEPARENT" >"$dir/trace-$HOOKLATCH_EVENT_ID"; exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { broken } });
    const trace = '0af7651916cd43dd8448eb211c80319c';
    const answer = await hook.send('github', { id: 'n1', headers: { TraceParent: `00-${trace}-b7ad6b7169203331-01` } });
    await hook.send('github', { id: 'n2' });
    await hook.settled('github/n1');
    await hook.settled('github/n2');
    const about = (event, id) => hook.logged((entry) => entry.event === event && entry.event_id === id);
    assert.equal((await about('event.accepted', 'n1')).request_id, answer.json.request_id);
    assert.notEqual((await about('event.accepted', 'n2')).request_id, answer.json.request_id);
    for (const id of ['n1', 'n2']) {
      const { trace_id: named } = await about('event.accepted', id);
      if (id === 'n1') assert.equal(named, trace, "the sender's own");
      assert.equal((await about('attempt.failed', id)).trace_id, named);
      assert.equal((await about('delivery.dead', id)).trace_id, named);
      assert.equal((await readFile(hook.path(`trace-${id}`), 'utf8')).split('-')[1], named);
    }
    const refused = await hook.send('github', { id: 'n3', secret: secret('other') });
    assert.equal((await hook.logged('request.rejected')).request_id, refused.json.request_id);
  });

  it('a log file is opened anew on SIGHUP, and nothing is lost on the way', async (t) => {
    const hook = await serve(t, { log: { format: 'json', level: 'debug', file: 'hooklatch.log' }, sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } });
    for (let n = 0; n < 20; n++) assertAnswer(await hook.send('github', { id: `a${n}` }), 'accepted');
    await until('the first lines', async () => (await parsed(hook.path('hooklatch.log'))).some((entry) => entry.event_id === 'a19' && entry.event === 'event.accepted'));
    await rename(hook.path('hooklatch.log'), hook.path('hooklatch.log.1'));
    process.kill(hook.pid, 'SIGHUP');
    await until('a new file', async () => readFile(hook.path('hooklatch.log')).then(() => true, () => false));
    for (let n = 0; n < 20; n++) assertAnswer(await hook.send('github', { id: `b${n}` }), 'accepted');
    await hook.idle();
    await hook.stop();
    const lines = [...await parsed(hook.path('hooklatch.log.1')), ...await parsed(hook.path('hooklatch.log'))];
    const accepted = lines.filter((entry) => entry.event === 'event.accepted').map((entry) => entry.event_id);
    assert.deepEqual(accepted.sort(), [...Array.from({ length: 20 }, (_, n) => `a${n}`), ...Array.from({ length: 20 }, (_, n) => `b${n}`)].sort());
    const text = JSON.stringify(lines);
    assert.ok(!text.includes(BODY_CANARY) && !text.includes(SECRET_CANARY));
  });

  it('the level of the configuration holds', async (t) => {
    const hook = await serve(t, { sources: { github }, log: { format: 'json', level: 'info' } });
    await hook.send('github', { id: 'a' });
    await hook.send('github', { id: 'a' });
    assert.deepEqual([...new Set(hook.log.map((entry) => entry.level))].filter((level) => level === 'debug'), []);
  });

  it('nobody reading the log does not stop the receiving', async (t) => {
    const hook = await serve(t, { sources: { github } });
    hook.holdLog();
    const count = 600; // far more than a pipe holds
    for (let n = 0; n < count; n++) assertAnswer(await hook.send('github', { id: `h${n}-${'i'.repeat(400)}`, type: 't'.repeat(2000) }), 'accepted');
    assert.equal(await hook.count('events'), count);
    hook.holdLog(false);
    let number = 0;
    await until('the log to go on', async () => {
      await hook.send('github', { id: `after${number++}` });
      return hook.log.some((entry) => /^after/.test(entry.event_id));
    });
  });
});
