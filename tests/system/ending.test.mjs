// What an operator ends: pending deliveries, stored bodies; events as lines for another program; and what is written down of it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertAnswer, github, plain, recorder, serve, until } from './hook.mjs';

const lines = (text) => text.trim().split('\n').map((line) => JSON.parse(line));

describe('ending', { timeout: 120_000, concurrency: 4 }, () => {
  it('events discard ends what is pending, and a replay brings it back', async (t) => {
    const program = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await hook.ok('pause', 'program', '--reason', 'a test');
    for (let n = 0; n < 3; n++) assertAnswer(await hook.send('github', { id: `e${n}` }), 'accepted');
    assert.equal((await hook.cli('events', 'discard', '--all')).code, 7, 'more than one needs --yes');
    assert.match(await hook.ok('events', 'discard', '--all', '--dry-run'), /\b3\b/);
    await hook.ok('events', 'discard', 'github/e0', '--reason', 'a test order');
    await hook.ok('events', 'discard', '--id', 'e1', '--yes');
    assert.equal((await hook.stats()).discarded, 2);
    await hook.ok('resume', 'program');
    await hook.settled('github/e2', { state: 'done' });
    await hook.idle();
    assert.equal(await program.runs(), 1);
    await hook.ok('events', 'replay', '--state', 'discarded', '--wait');
    await until('all to be done', async () => (await hook.stats()).done === 3);
    const audit = await hook.sql('select action, reason, count from hooklatch_audit order by id');
    assert.deepEqual(audit.map((row) => [row.action, row.reason, row.count]), [
      ['pause', 'a test', 1], ['end', 'a test order', 1], ['end', null, 1], ['resume', null, 1], ['replay', null, 2],
    ]);
    assert.equal((await hook.cli('events', 'discard', '--all', '--yes')).code, 3);
  });

  it('events erase takes body and headers, and leaves key and states', async (t) => {
    const program = recorder({ on: ['github/*'] });
    const fails = recorder({ on: ['github/bad'], then: 'exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { program, fails } });
    await hook.send('github', { id: 'a' });
    await hook.send('github', { id: 'b', type: 'bad' });
    await hook.idle();
    await hook.ok('pause', 'program');
    await hook.send('github', { id: 'c' });
    const result = await hook.json('events', 'erase', '--all', '--yes', '--reason', 'asked for');
    assert.deepEqual([result.changed, result.skipped], [2, 1], 'what is to be handled still keeps its body');
    const rows = await hook.sql('select event_id, body is null as empty, headers from events order by seq');
    assert.deepEqual(rows.map((row) => [row.event_id, row.empty]), [['a', 1], ['b', 1], ['c', 0]]);
    assert.equal(rows[0].headers, '[]');
    assertAnswer(await hook.send('github', { id: 'a' }), 'duplicate');
    assertAnswer(await hook.send('github', { id: 'b', type: 'bad' }), 'duplicate', 'nothing is left to revive');
    const replay = await hook.cli('events', 'replay', 'github/a');
    assert.equal(replay.code, 1);
    assert.match(replay.stderr, /body is not stored/);
    const dead = await hook.cli('dead', 'replay', '--all', '--yes');
    assert.equal(dead.code, 1);
    assert.match(dead.stderr, /body is not stored/);
    await hook.ok('resume', 'program');
    await hook.settled('github/c', { state: 'done' });
  });

  it('events export writes them all, with a cursor to go on from', async (t) => {
    const hook = await serve(t, { sources: { github, plain }, handlers: {} });
    const bytes = Buffer.from([0xff, 0x00, 0x7b]);
    for (let n = 0; n < 4; n++) await hook.send('github', { id: `e${n}`, body: n === 2 ? bytes : { n } });
    await hook.send('plain', { id: 'p' });
    const all = lines(await hook.ok('events', 'export'));
    assert.deepEqual(all.map((item) => item.event_id), ['e0', 'e1', 'e2', 'e3', 'p']);
    assert.deepEqual(Buffer.from(all[2].body, 'base64'), bytes);
    assert.ok(all[0].headers.some(([name]) => name.toLowerCase() === 'x-github-event'));
    const rest = lines(await hook.ok('events', 'export', '--source', 'github', '--after', String(all[1].cursor), '--limit', '1'));
    assert.deepEqual(rest.map((item) => item.event_id), ['e2']);
    assert.equal((await hook.cli('events', 'export', '--after', String(all[4].cursor))).code, 3);
    await hook.stop();
    assert.equal(lines(await hook.ok('events', 'export')).length, 5, 'with the service stopped too');
    await hook.start();
  });

  it('a cancelled replay goes on where it stood', async (t) => {
    const program = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    for (let n = 0; n < 20; n++) await hook.send('github', { id: `e${n}` });
    await hook.idle();
    const { id } = await hook.json('events', 'replay', '--source', 'github', '--rate', '10/s');
    await until('some to be replayed', async () => (await hook.json('replays', 'show', String(id))).replayed >= 2);
    const cancelled = await hook.json('replays', 'cancel', String(id));
    assert.equal(cancelled.state, 'cancelled');
    assert.ok(cancelled.replayed < 20);
    await hook.restart();
    const resumed = await hook.json('replays', 'resume', String(id));
    assert.equal(resumed.state, 'running');
    await until('it to be done', async () => (await hook.json('replays', 'show', String(id))).state === 'done');
    await hook.idle();
    for (let n = 0; n < 20; n++) assert.equal(await program.runs(`e${n}`), 2, `e${n}`);
  });

  it('explain says why it waits, and until when', async (t) => {
    const fails = recorder({ on: ['github/*'], then: 'echo "no route" >&2; exit 1', retry: { first: '1h', jitter: 'none' } });
    const pull = { on: ['github/*'], pull: {} };
    const paused = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { fails, pull, paused, gone: recorder({ on: ['github/*'] }) } });
    await hook.ok('pause', 'paused', '--until', '2h');
    await hook.ok('pause', 'gone');
    await hook.send('github', { id: 'a' });
    await until('the first try', async () => (await fails.runs()) === 1);
    await until('its result', async () => (await hook.deliveries('github/a', 'fails'))[0].attempts === 1 && (await hook.stats()).running === 0);
    const { gone, ...rest } = hook.config.handlers;
    await hook.reload({ handlers: rest });
    const explained = await hook.json('explain', 'github/a');
    const by = Object.fromEntries(explained.deliveries.map((delivery) => [delivery.handler, delivery]));
    const reasons = (name) => by[name].reasons.map((reason) => reason.reason);
    assert.deepEqual(reasons('fails'), ['backoff']);
    assert.match(by.fails.reasons[0].message, /exit|code|1/);
    assert.ok(Date.parse(by.fails.next_attempt_at) > Date.now() + 3_000_000);
    assert.deepEqual(reasons('pull'), ['consumer']);
    assert.deepEqual(reasons('paused'), ['paused']);
    assert.ok(Date.parse(by.paused.next_attempt_at) > Date.now() + 7_000_000);
    assert.deepEqual(reasons('gone'), ['handler_gone']);
    assert.match(await hook.ok('explain', 'github/a'), /backoff/);
    assert.equal((await hook.cli('explain', 'github/nothing')).code, 3);
    await hook.reload({ handlers: { ...rest, gone } });
    await hook.ok('resume', 'gone');
    await hook.settled('github/a', { handler: 'gone', state: 'done' });
  });
});
