// Handler `pull`: consumers take, acknowledge, reject and extend; what is not acknowledged in time comes again.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, serve, until } from './hook.mjs';

const jobs = (keys = {}, more = {}) => ({ on: ['github/*'], pull: { visibility: '60s', ...keys }, ...more });
const call = async (hook, target, body = {}) => {
  const { status, body: text } = await hook.admin(target, { method: 'POST', body: JSON.stringify(body) });
  return { status, json: JSON.parse(text) };
};
const take = async (hook, query = '') => {
  const { status, json } = await call(hook, `/v1/handlers/jobs/take${query}`);
  assert.equal(status, 200, JSON.stringify(json));
  return json;
};

describe('pull', { timeout: 120_000, concurrency: 6 }, () => {
  it('what is taken is whole, and an acknowledgement ends it', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs() } });
    const bytes = Buffer.from('{"id":"odd \\u0000","n":1e400}');
    await hook.send('github', { id: 'a', type: 'push', body: bytes });
    assert.equal((await hook.stats()).pending, 1, 'nothing happens by itself');
    const [item, ...rest] = await take(hook, '?max=10');
    assert.equal(rest.length, 0);
    assert.deepEqual([item.source, item.event_id, item.type, item.attempt], ['github', 'a', 'push', 1]);
    assert.deepEqual(Buffer.from(item.body, 'base64'), bytes);
    assert.ok(item.headers.some(([name]) => name.toLowerCase() === 'x-github-event'));
    assert.equal((await hook.stats()).running, 1);
    assert.deepEqual(await take(hook), [], 'nobody else gets it');
    assert.equal((await call(hook, `/v1/leases/${item.lease}/ack`)).status, 200);
    await hook.settled('github/a', { state: 'done' });
    const late = await call(hook, `/v1/leases/${item.lease}/ack`);
    assert.equal(late.status, 409);
    assert.match(late.json.error.message, /over/);
  });

  it('what was acknowledged to its sender can be taken at once', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs({}, { concurrency: 1000 }) } });
    const missing = [];
    for (let n = 0; n < 300; n++) {
      assertAnswer(await hook.send('github', { id: `e${n}` }), 'accepted');
      const items = await take(hook, '?max=10');
      if (items.length !== 1) missing.push(`e${n}: ${items.length}`);
    }
    assert.deepEqual(missing, []);
  });

  it('a lease that runs out comes again as the next attempt, and its late acknowledgement is refused', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs({ visibility: '1s' }) } });
    await hook.send('github', { id: 'a' });
    const [first] = await take(hook);
    const [second] = await take(hook, '?wait=10s');
    assert.equal(second.attempt, 2);
    assert.equal((await call(hook, `/v1/leases/${first.lease}/ack`)).status, 409);
    assert.equal((await call(hook, `/v1/leases/${second.lease}/ack`)).status, 200);
    await hook.settled('github/a', { state: 'done' });
    const { attempts } = await hook.json('events', 'show', 'github/a');
    assert.deepEqual(attempts.map(({ attempt, error_type }) => [attempt, error_type]), [[1, 'lease_expired'], [2, null]]);
  });

  it('extend keeps it, nack gives it back with a delay, nack?dead ends it', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs({ visibility: '1s' }) } });
    await hook.send('github', { id: 'a' });
    let [item] = await take(hook);
    assert.equal((await call(hook, `/v1/leases/${item.lease}/extend?by=60s`)).status, 200);
    assert.deepEqual(await take(hook, '?wait=2s'), [], 'longer than its first visibility');
    const before = Date.now();
    assert.equal((await call(hook, `/v1/leases/${item.lease}/nack?delay=1s`, { error: 'busy' })).status, 200);
    [item] = await take(hook, '?wait=20s');
    assert.ok(Date.now() - before >= 1000, 'not before the delay');
    assert.equal(item.attempt, 2);
    assert.equal((await call(hook, `/v1/leases/${item.lease}/nack?dead`)).status, 200);
    await hook.settled('github/a', { state: 'dead' });
    const [letter] = await hook.json('dead', 'list');
    assert.equal(letter.reason, 'rejected');
    await hook.ok('dead', 'replay', String(letter.id));
    [item] = await take(hook, '?wait=20s');
    assert.equal(item.attempt, 1);
  });

  it('attempts in all are kept to: then it is dead', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs({}, { retry: { attempts: 2, first: '10ms', jitter: 'none' } }) } });
    await hook.send('github', { id: 'a' });
    for (let n = 1; n <= 2; n++) {
      const [item] = await take(hook, '?wait=20s');
      assert.equal(item.attempt, n);
      await call(hook, `/v1/leases/${item.lease}/nack`);
    }
    await hook.settled('github/a', { state: 'dead' });
  });

  it('a wait ends as soon as something comes, and costs no thread', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs({}, { concurrency: 100 }) } });
    const waits = Array.from({ length: 20 }, () => take(hook, '?wait=30s'));
    assert.equal((await hook.stats()).pending, 0, 'others are answered meanwhile');
    for (let n = 0; n < 20; n++) await hook.send('github', { id: `e${n}` });
    const ids = (await Promise.all(waits)).flat().map((item) => item.event_id);
    assert.equal(new Set(ids).size, 20);
    assert.equal(ids.length, 20, 'each went to one');
  });

  it('`concurrency` bounds what is out, and a paused handler gives nothing', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs({}, { concurrency: 3 }) } });
    for (let n = 0; n < 5; n++) await hook.send('github', { id: `e${n}` });
    const items = await take(hook, '?max=10');
    assert.equal(items.length, 3);
    assert.deepEqual(await take(hook, '?max=10'), []);
    await call(hook, `/v1/leases/${items[0].lease}/ack`);
    await hook.ok('pause', 'jobs', '--reason', 'a test');
    assert.deepEqual(await take(hook, '?max=10'), []);
    const waiting = take(hook, '?max=10&wait=30s');
    await hook.ok('resume', 'jobs');
    assert.equal((await waiting).length, 1);
  });

  it('leases outlive a restart, and a kill', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs() } });
    await hook.send('github', { id: 'a' });
    await hook.send('github', { id: 'b' });
    const [a] = await take(hook);
    await hook.stop();
    await hook.start();
    const [b] = await take(hook);
    await hook.kill();
    await hook.start();
    assert.deepEqual(await take(hook), []);
    for (const item of [a, b]) assert.equal((await call(hook, `/v1/leases/${item.lease}/ack`)).status, 200);
    await hook.settled('github/a', { state: 'done' });
    await hook.settled('github/b', { state: 'done' });
    assert.equal(await hook.count('attempts'), 0, 'both at their first try');
  });

  it('hooklatch take hands deliveries to a command: 0 done, 65 dead, anything else again', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs({}, { concurrency: 10, retry: { first: '10ms', jitter: 'none' } }) } });
    const cat = `cat > "${hook.dir}/$HOOKLATCH_EVENT_ID"; case $HOOKLATCH_TYPE-$HOOKLATCH_ATTEMPT in good-*|again-2) exit 0;; bad-*) exit 65;; esac; exit 1`;
    assert.equal((await hook.cli('take', 'jobs', '--exec', cat)).code, 3, 'nothing there');
    for (const type of ['good', 'bad', 'again']) await hook.send('github', { id: type, type, body: Buffer.from(`{"n":"${type}"}`) });
    assert.equal((await hook.cli('take', 'jobs', '--max', '10', '--exec', cat)).code, 5, 'partly');
    assert.equal(await readFile(hook.path('good'), 'utf8'), '{"n":"good"}');
    assert.equal((await hook.cli('take', 'jobs', '--wait', '20s', '--exec', cat)).code, 0);
    await hook.settled('github/good', { state: 'done' });
    await hook.settled('github/bad', { state: 'dead' });
    await hook.settled('github/again', { state: 'done' });
    await hook.send('github', { id: 'shown' });
    const shown = await hook.cli('take', 'jobs');
    assert.equal(JSON.parse(shown.stdout).event_id, 'shown');
  });

  it('a large body reaches the command whole', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs() } });
    const bytes = Buffer.from(JSON.stringify({ pad: 'x'.repeat(300_001) }));
    await hook.send('github', { id: 'big', body: bytes });
    assert.equal((await hook.cli('take', 'jobs', '--exec', `cat > "${hook.dir}/got"`)).code, 0);
    assert.deepEqual(await readFile(hook.path('got')), bytes);
  });

  it('give_up_after counts for leases that run out, and not while the handler is paused', async (t) => {
    const keys = { retry: { attempts: 1000, give_up_after: '3s' } };
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs({ visibility: '1s' }, keys) } });
    await hook.send('github', { id: 'a' });
    let [item] = await take(hook, '?wait=20s');
    await call(hook, `/v1/leases/${item.lease}/nack?delay=0s`);
    await hook.ok('pause', 'jobs', '--until', '4s');
    [item] = await take(hook, '?wait=20s');
    assert.equal(item.attempt, 2, 'the pause counts for nothing');
    const begun = Date.now();
    while ((await hook.stats()).dead === 0) {
      assert.ok(Date.now() - begun < 30_000, 'it is given up at last');
      await take(hook, '?wait=2s');
    }
    const [letter] = await hook.json('dead', 'list');
    assert.ok(letter.attempts > 2 && letter.attempts < 20, JSON.stringify(letter));
  });

  it('a command that takes longer than its lease keeps it', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs({ visibility: '1s' }) } });
    await hook.send('github', { id: 'a' });
    const running = hook.cli('take', 'jobs', '--exec', `echo >> "${hook.dir}/begun"; until [ -e "${hook.dir}/gate" ]; do sleep 0.05; done`);
    await until('it to run', async () => (await readFile(hook.path('begun'), 'utf8').catch(() => '')).length === 1);
    assert.deepEqual(await take(hook, '?wait=3s'), [], 'its lease is extended');
    await writeFile(hook.path('gate'), '');
    assert.equal((await running).code, 0);
    await hook.settled('github/a', { state: 'done' });
  });

  it('consumers killed at random lose nothing and keep nothing', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { jobs: jobs({ visibility: '1s' }, { concurrency: 50, retry: { attempts: 50 } }) } });
    const total = 40;
    for (let n = 0; n < total; n++) assertAnswer(await hook.send('github', { id: `e${n}` }), 'accepted');
    let seed = 1;
    const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
    const consume = async () => {
      while ((await hook.stats()).done < total) {
        const child = spawn(hook.binary, ['take', 'jobs', '--max', '3', '--wait', '1s', '--exec', `printf '%s\\n' "$HOOKLATCH_EVENT_ID" >> "${hook.dir}/seen"`, '-c', hook.file], { stdio: 'ignore' });
        const death = new Promise((resolve) => child.once('exit', resolve));
        const killed = random() < 0.3 ? setTimeout(() => child.kill('SIGKILL'), random() * 100) : undefined;
        await death;
        clearTimeout(killed);
      }
    };
    await Promise.all([consume(), consume(), consume()]);
    const seen = (await readFile(hook.path('seen'), 'utf8')).trim().split('\n');
    assert.equal(new Set(seen).size, total);
    const stats = await hook.stats();
    assert.deepEqual([stats.done, stats.pending, stats.running, stats.dead], [total, 0, 0, 0]);
  });
});
