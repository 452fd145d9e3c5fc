// Dead letters: listed, shown, replayed, discarded, restored; by number, by event, by filter; with the service running and without.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, plain, recorder, serve, until } from './hook.mjs';

// Refuses everything until the file `good` is there.
const moody = (keys) => recorder({ on: ['*/*'], then: '[ -e "$dir/good" ] || { echo "no such customer" >&2; exit 65; }', ...keys });
const recover = (hook) => writeFile(hook.path('good'), '');

async function withDead(t, count, { handlers = { moody: moody() } } = {}) {
  const hook = await serve(t, { sources: { github, plain }, handlers });
  for (let n = 0; n < count; n++) assertAnswer(await hook.send('github', { id: `d${n}`, type: n % 2 ? 'push' : 'issues' }), 'accepted');
  await hook.idle();
  return hook;
}
const numbers = async (hook, ...filters) => (await hook.json('dead', 'list', ...filters)).map((letter) => letter.id);

describe('dead', { timeout: 180_000, concurrency: 4 }, () => {
  it('an event that fails for ever is listed, shown, replayed and then succeeds', async (t) => {
    const hook = await withDead(t, 1);
    const [letter, ...more] = await hook.json('dead', 'list');
    assert.deepEqual(more, []);
    assert.deepEqual([letter.source, letter.event_id, letter.type, letter.handler, letter.attempts], ['github', 'd0', 'issues', 'moody', 1]);
    assert.equal(typeof letter.id, 'number');
    assert.equal(typeof letter.reason, 'string');
    assert.ok(Date.parse(letter.first_failed_at) <= Date.parse(letter.died_at));
    for (const name of [String(letter.id), 'github/d0', 'github/d0/moody']) {
      assert.match(await hook.ok('dead', 'show', name), /no such customer/, name);
      assert.match(JSON.stringify(await hook.json('dead', 'show', name)), /no such customer/, name);
    }
    await recover(hook);
    await hook.ok('dead', 'replay', String(letter.id));
    await hook.settled('github/d0', { state: 'done' });
    assert.deepEqual(await hook.json('dead', 'list', { code: 3 }), []);
    const stats = await hook.stats();
    assert.deepEqual([stats.received, stats.done, stats.dead], [1, 1, 0]);
  });

  it('a replay is a new round: its attempts count from one', async (t) => {
    const program = recorder({ on: ['*/*'], retry: { attempts: 2, first: '100ms', factor: 1, max: '1s', jitter: 'none' }, then: 'exit 1' });
    const hook = await withDead(t, 1, { handlers: { program } });
    const [first] = await numbers(hook);
    await hook.ok('dead', 'replay', 'github/d0/program');
    await until('the second round to end', async () => (await program.runs()) === 4);
    await hook.settled('github/d0', { state: 'dead' });
    assert.deepEqual((await program.records()).map((record) => record.attempt), [1, 2, 1, 2]);
    const [second] = await numbers(hook);
    assert.ok(second > first, 'a new death gets a new number');
    const { code } = await hook.cli('dead', 'replay', String(first));
    assert.equal(code, 3, 'the old number means nothing any more');
  });

  it('a discarded one stays away until it is restored, and keeps its number', async (t) => {
    const hook = await withDead(t, 2);
    const [one, two] = await numbers(hook);
    await hook.ok('dead', 'discard', String(one), '--reason', 'a test order');
    assert.deepEqual(await numbers(hook), [two]);
    assert.deepEqual(await numbers(hook, '--state', 'discarded'), [one]);
    let stats = await hook.stats();
    assert.deepEqual([stats.dead, stats.discarded], [1, 1]);
    const discarded = await hook.sql("select event_id from deliveries where state = 'discarded'");
    assert.equal((await hook.send('github', { id: discarded[0].event_id })).state, 'discarded', 'a redelivery does not revive what was discarded');
    await hook.ok('dead', 'restore', String(one));
    assert.deepEqual((await numbers(hook)).sort((a, b) => a - b), [one, two].sort((a, b) => a - b));
    stats = await hook.stats();
    assert.deepEqual([stats.dead, stats.discarded], [2, 0]);
    await recover(hook);
    await hook.ok('dead', 'replay', String(one));
    await until('one to be done', async () => (await hook.stats()).done === 1);
  });

  it('nothing much is done without --yes, and nothing at all with --dry-run', async (t) => {
    const hook = await withDead(t, 6);
    await recover(hook);
    const dead = async () => (await hook.stats()).dead;
    assert.equal((await hook.cli('dead', 'replay', '--all')).code, 7);
    assert.equal((await hook.cli('dead', 'discard', '--all')).code, 7);
    const [only] = await hook.json('dead', 'list', '--limit', '1');
    assert.equal((await hook.cli('dead', 'discard', '--all', '--id', only.event_id)).code, 7, 'all, even when all is one');
    assert.equal((await hook.cli('dead', 'discard', '--type', 'push')).code, 7, 'more than one');
    const two = (await numbers(hook)).slice(0, 2).map(String);
    assert.equal((await hook.cli('dead', 'discard', ...two)).code, 7, 'more than one');
    for (const verb of ['replay', 'discard']) {
      const plan = await hook.ok('dead', verb, '--all', '--dry-run');
      assert.match(plan, /\b6\b/, `${verb} --dry-run says how many`);
      assert.match(plan, /--until/, `${verb} --dry-run says the command that does exactly this`);
    }
    assert.equal(await dead(), 6);
    await hook.ok('dead', 'discard', '--type', 'push', '--yes');
    assert.equal(await dead(), 3);
    await hook.ok('dead', 'replay', '--all', '--yes', '--wait');
    const stats = await hook.stats();
    assert.deepEqual([stats.dead, stats.done, stats.discarded], [0, 3, 3]);
  });

  it('what is named and no dead letter is told, and the others are done', async (t) => {
    const hook = await withDead(t, 2);
    const [one] = await numbers(hook);
    const mixed = await hook.cli('dead', 'discard', String(one), '999', '--yes');
    assert.equal(mixed.code, 5, mixed.text);
    assert.match(mixed.stderr, /no dead letter 999/);
    assert.equal((await hook.stats()).discarded, 1);
    assert.equal((await hook.cli('dead', 'replay', '998', '999')).code, 3);
    await recover(hook);
    await hook.ok('dead', 'replay', '--all', '--state', 'dead,discarded', '--yes', '--wait');
    await hook.idle();
    const done = await hook.cli('dead', 'replay', 'github/d0');
    assert.equal(done.code, 3);
    assert.match(done.stderr, /1 skipped/);
  });

  it('filters choose', async (t) => {
    const hook = await withDead(t, 4, { handlers: { moody: moody(), grumpy: recorder({ on: ['*/*'], then: 'echo "over quota" >&2; exit 65' }) } });
    await hook.send('plain', { id: 'p1', type: 'push' });
    await hook.idle();
    const count = async (...filters) => (await numbers(hook, ...filters)).length;
    assert.equal(await count(), 10);
    assert.equal(await count('--handler', 'moody'), 5);
    assert.equal(await count('--handler', 'm*'), 5);
    assert.equal(await count('--source', 'plain'), 2);
    assert.equal(await count('--type', 'push', '--handler', 'moody'), 3);
    assert.equal(await count('--id', 'd1'), 2);
    assert.equal(await count('--id', 'd*'), 8);
    assert.equal(await count('--since', '1h'), 10);
    assert.equal(await count('--since', new Date(Date.now() - 3_600_000).toISOString()), 10);
    assert.equal(await count('--limit', '3'), 3);
    assert.deepEqual(await hook.json('dead', 'list', '--until', '1h', { code: 3 }), []);
    assert.deepEqual(await hook.json('dead', 'list', '--source', 'plain', '--type', 'issues', { code: 3 }), []);
    await recover(hook);
    await hook.ok('dead', 'replay', '--handler', 'moody', '--source', 'github', '--yes', '--wait');
    await hook.idle(); // --wait follows the replay to its end; the tries come after it
    assert.equal(await hook.count('deliveries', "handler = 'moody' and state = 'done'"), 4);
    assert.equal(await hook.count('deliveries', "handler = 'grumpy' and state = 'dead'"), 5);
  });

  it('a replay keeps to its rate', async (t) => {
    const program = moody();
    const hook = await withDead(t, 30, { handlers: { program } });
    await recover(hook);
    await hook.ok('dead', 'replay', '--all', '--yes', '--rate', '10/s', '--wait');
    await hook.idle();
    const times = (await program.records()).slice(30).map((record) => record.time).sort((a, b) => a - b);
    assert.equal(times.length, 30);
    // at most ten a second, and one second's worth at once
    assert.ok(times.at(-1) - times[0] >= 1500, `30 at 10/s took ${times.at(-1) - times[0]} ms`);
  });

  it('a replay outlives a restart of the service', async (t) => {
    const program = moody();
    const hook = await withDead(t, 40, { handlers: { program } });
    await recover(hook);
    await hook.ok('dead', 'replay', '--all', '--yes', '--rate', '20/s');
    await hook.kill();
    await hook.start();
    await until('all to be done', async () => (await hook.stats()).done === 40);
    assert.equal(await hook.count('dead_letters'), 0);
  });

  it('with the service stopped letters are read, replayed and discarded as well', async (t) => {
    const hook = await withDead(t, 4);
    await hook.stop();
    const [one, two, three, four] = (await numbers(hook)).map(String);
    assert.match(await hook.ok('dead', 'show', one), /no such customer/);
    await hook.ok('dead', 'discard', one);
    await hook.ok('dead', 'discard', two);
    await hook.ok('dead', 'restore', two);
    await hook.ok('dead', 'replay', three);
    assert.equal((await hook.stats()).discarded, 1);
    await recover(hook);
    await hook.start();
    await until('the replayed one to be done', async () => (await hook.stats()).done === 1);
    const stats = await hook.stats();
    assert.deepEqual([stats.dead, stats.discarded], [2, 1]);
    assert.ok((await numbers(hook)).map(String).includes(four));
  });

  it('what is not there is told by exit code 3, and a wrong way to say it by 2', async (t) => {
    const hook = await withDead(t, 1);
    for (const verb of ['show', 'replay', 'discard', 'restore']) assert.equal((await hook.cli('dead', verb, '999999')).code, 3, verb);
    assert.equal((await hook.cli('dead', 'replay', 'github/nothing')).code, 3);
    assert.equal((await hook.cli('dead', 'replay')).code, 2, 'neither ids nor --all nor a filter');
    assert.equal((await hook.cli('dead', 'replay', '--all', '--yes', '--rate', '50')).code, 2, 'a rate needs its unit');
    assert.equal((await hook.cli('dead', 'list', '--since', 'someday')).code, 2);
  });
});
