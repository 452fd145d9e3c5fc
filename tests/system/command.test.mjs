// The command line as a whole: help, versions, exit codes, where the configuration is found, numbers.
import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, plain, prepare, recorder, secret, serve } from './hook.mjs';

describe('command', { timeout: 120_000, concurrency: 4 }, () => {
  it('version and help are there without a configuration', async (t) => {
    const hook = await prepare(t);
    const bare = { bare: true, cwd: '/' };
    assert.match((await hook.ok('version', bare)), /hooklatch.*\d+\.\d+/s);
    const help = await hook.ok('help', bare);
    for (const command of ['serve', 'config', 'providers', 'events', 'dead', 'tail', 'stats', 'send', 'sign', 'verify', 'migrate', 'version', 'help']) assert.match(help, new RegExp(`\\b${command}\\b`), command);
    for (const topic of ['serve', 'dead', 'send']) assert.notEqual((await hook.ok('help', topic, bare)).trim(), '', topic);
  });

  it('what is not understood is exit 2, on stderr, with what was perhaps meant', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    for (const [args, meant] of [
      [['serv'], /serve/], [['evnts', 'list'], /events/], [['events', 'lst'], /list/], [['events', 'list', '--sorce', 'x'], /--source/], [['dead', 'list', '--jsn'], /--json/],
    ]) {
      const { code, stdout, stderr } = await hook.cli(...args);
      assert.equal(code, 2, args.join(' '));
      assert.equal(stdout, '', args.join(' '));
      assert.match(stderr, meant, args.join(' '));
    }
    for (const args of [['events', 'list', '--limit', 'many'], ['events', 'list', '--source'], ['send'], ['config'], ['verify']]) assert.equal((await hook.cli(...args)).code, 2, args.join(' '));
    assert.equal((await hook.cli({ bare: true })).code, 2, 'no command at all');
  });

  it('the configuration is found by -c, by HOOKLATCH_CONFIG and in the working directory, in this order', async (t) => {
    const hook = await prepare(t, { sources: { github }, handlers: {} });
    const other = await prepare(t, { sources: { nothing: { path: '/x', provider: 'no-such-provider', secrets: [] } } });
    const check = (options) => hook.cli('config', 'check', { bare: true, ...options });
    assert.equal((await check({ cwd: hook.dir })).code, 0);
    assert.equal((await check({ cwd: '/', env: { HOOKLATCH_CONFIG: hook.file } })).code, 0);
    assert.equal((await check({ cwd: other.dir, env: { HOOKLATCH_CONFIG: hook.file } })).code, 0);
    assert.equal((await check({ cwd: other.dir })).code, 2);
    assert.equal((await hook.cli('config', 'check', { env: { HOOKLATCH_CONFIG: other.file }, cwd: other.dir })).code, 0);
    await copyFile(other.file, other.path('elsewhere.yaml'));
    assert.equal((await hook.cli('config', 'check', '-c', '/no/such/file.yaml', { bare: true })).code, 2);
  });

  it('stats have every key that was promised, and they are true', async (t) => {
    const broken = recorder({ on: ['github/bad'], then: 'exit 65' });
    const hook = await serve(t, { sources: { github, plain: { ...plain, types: ['push'] } }, handlers: { broken, note: { on: ['github/good', 'github/bad'], log: {} } } });
    await hook.send('github', { id: 'a', type: 'good' });
    await hook.send('github', { id: 'a', type: 'good' });
    await hook.send('github', { id: 'b', type: 'bad' });
    await hook.send('github', { id: 'c', type: 'unwanted' });
    await hook.send('plain', { id: 'd', type: 'other' });
    await hook.send('github', { secret: secret('x') });
    await hook.send('github', { target: '/nothing' });
    await hook.idle();
    assertAnswer(await hook.send('github', { id: 'b', type: 'bad' }), 'revived');
    await hook.settled('github/b');
    const stats = await hook.stats();
    const { since, rejected, dedup_hit_ratio: ratio, oldest_pending_seconds: oldest, ...numbers } = stats;
    assert.ok(Math.abs(Date.parse(since) - Date.now()) < 600_000);
    assert.equal(rejected.signature_mismatch, 1);
    assert.equal(rejected.not_found, 1);
    for (const [key, value] of Object.entries({ accepted: 3, duplicates: 1, revived: 1, ignored: 1, unrouted: 1, received: 3, pending: 0, running: 0, done: 2, dead: 1, discarded: 0, orphaned: 0, ledger_imbalance: 0 })) assert.equal(numbers[key], value, key);
    assert.ok(Math.abs(ratio - 2 / 5) < 0.001, `dedup_hit_ratio ${ratio}`);
    assert.ok(oldest === null || oldest === 0, `oldest_pending_seconds ${oldest} with nothing pending`);
    assert.match(await hook.ok('stats'), /received/);
    await hook.restart();
    const fresh = await hook.stats();
    assert.equal(fresh.accepted, 0, 'counted since the start');
    assert.equal(fresh.received, 3, 'counted over the store');
  });

  it('providers are listed and shown', async (t) => {
    const hook = await prepare(t);
    const list = await hook.json('providers', { bare: true });
    const names = list.map((provider) => provider.name);
    for (const name of ['github', 'stripe', 'standard-webhooks']) assert.ok(names.includes(name), name);
    const text = await hook.ok('providers', 'github', { bare: true });
    assert.match(text, /X-Hub-Signature-256/i);
    assert.notEqual((await hook.cli('providers', 'gitub', { bare: true })).code, 0);
  });

  it('nothing found is an empty list and exit 3', async (t) => {
    const hook = await serve(t, { sources: { github } });
    assert.deepEqual(await hook.json('events', 'list', { code: 3 }), []);
    assert.deepEqual(await hook.json('dead', 'list', { code: 3 }), []);
    const lines = await hook.cli('events', 'list', '--jsonl');
    assert.deepEqual([lines.code, lines.stdout], [3, '']);
    assert.equal((await hook.cli('events', 'list')).code, 3);
  });

  it('migrate brings a store up to date without the service, as often as one likes', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    await hook.ok('migrate');
    await hook.ok('migrate');
    assert.ok((await hook.count('schema_migrations')) >= 1);
    const [{ id }] = await hook.sql('select application_id as id from pragma_application_id');
    assert.notEqual(id, 0, 'the file is marked as ours');
    await hook.start();
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
  });

  it('colour is only for terminals', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { broken: recorder({ on: ['*/*'], then: 'exit 65' }) } });
    await hook.send('github', { id: 'a' });
    await hook.settled('github/a');
    for (const args of [['events', 'list'], ['dead', 'list'], ['stats'], ['events', 'show', 'github/a'], ['help']]) {
      assert.ok(!(await hook.cli(...args)).text.includes('\x1b['), args.join(' '));
      assert.ok(!(await hook.cli(...args, { env: { NO_COLOR: '1' } })).text.includes('\x1b['), args.join(' '));
    }
  });
});
