// Real GitHub requests: every payload of @octokit/webhooks-examples, signed by @octokit/webhooks-methods.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { describe, it } from 'node:test';
import { sign } from '@octokit/webhooks-methods';
import { assertAnswer, github, serve, spread } from './hook.mjs';

const require = createRequire(import.meta.url);
const editions = ['api.github.com', 'ghes-31', 'ghes-32', 'ghes-33', 'ghes-34', 'ghes-35'];
const CONNECTIONS = 8;

// Every example, as GitHub sends it: compact JSON, its type in a header, a GUID for each delivery.
async function deliveries(key) {
  const found = editions.flatMap((edition) => require(`@octokit/webhooks-examples/${edition}/index.json`).flatMap(({ name, examples }) => examples.map((example) => ({ type: name, example }))));
  return Promise.all(found.map(async ({ type, example }) => {
    const text = JSON.stringify(example);
    const id = randomUUID();
    const headers = [
      ['User-Agent', 'GitHub-Hookshot/044aadd'], ['Accept', '*/*'], ['Content-Type', 'application/json'],
      ['X-GitHub-Delivery', id], ['X-GitHub-Event', type], ['X-GitHub-Hook-ID', '292430182'],
      ['X-Hub-Signature-256', await sign(key, text)],
    ];
    return { id, type, body: Buffer.from(text), headers };
  }));
}

describe('github', { timeout: 120_000 }, () => {
  it('every example payload signed by GitHub’s own library is accepted once, kept byte for byte and processed once', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } });
    const requests = await deliveries(github.secrets[0].text);
    assert.ok(requests.length > 300, `only ${requests.length} examples were found`);
    const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => hook.connect()));
    const send = ({ headers, body }, _, lane) => hook.request({ connection: connections[lane], target: '/github', headers, body });

    for (const [index, answer] of (await spread(requests, CONNECTIONS, send)).entries()) assertAnswer(answer, 'accepted', requests[index].type);

    const rows = await hook.sql('select event_id, type, headers, hex(body) as body from events where source = \'github\'');
    assert.equal(rows.length, requests.length);
    const stored = new Map(rows.map((row) => [row.event_id, row]));
    for (const { id, type, body, headers } of requests) {
      const row = stored.get(id);
      assert.ok(row, `${id} is missing`);
      assert.equal(row.type, type);
      assert.ok(Buffer.from(row.body, 'hex').equals(body), `the body of ${type} ${id} was altered`);
      const kept = JSON.parse(row.headers).filter(([name]) => headers.some(([sent]) => sent.toLowerCase() === name.toLowerCase()));
      assert.deepEqual(kept.map(([name, value]) => [name.toLowerCase(), value]), headers.map(([name, value]) => [name.toLowerCase(), value]), 'headers in their order');
    }

    for (const [index, answer] of (await spread(requests, CONNECTIONS, send)).entries()) assertAnswer(answer, 'duplicate', requests[index].type);
    await hook.idle();
    assert.equal(await hook.count('events'), requests.length);
    assert.equal(await hook.count('deliveries', "state = 'done'"), requests.length);
    const stats = await hook.stats();
    assert.equal(stats.accepted, requests.length);
    assert.equal(stats.duplicates, requests.length);
    assert.equal(stats.dedup_hit_ratio, 0.5);
  });

  it('a payload of 20 MiB is taken, because the preset allows 25', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: {} });
    const body = Buffer.from(`{"blob":"${'x'.repeat(20 * 1024 * 1024)}"}`);
    assertAnswer(await hook.send('github', { id: 'large', body }), 'accepted');
    assert.ok((await hook.event('github/large')).body.equals(body));
  });

  it('a delivery without id, with a repeated id or with a long one is malformed; 512 bytes are good', async (t) => {
    const hook = await serve(t, { sources: { github } });
    assertAnswer(await hook.send('github', { headers: { 'X-GitHub-Delivery': null } }), 'malformed', 'without');
    assertAnswer(await hook.send('github', { headers: { 'X-GitHub-Delivery': '' } }), 'malformed', 'empty');
    assertAnswer(await hook.send('github', { headers: { 'X-GitHub-Delivery': ['a', 'b'] } }), 'malformed', 'repeated');
    assertAnswer(await hook.send('github', { id: 'x'.repeat(513) }), 'malformed', '513 bytes');
    assertAnswer(await hook.send('github', { id: 'x'.repeat(512) }), 'accepted', '512 bytes');
    assertAnswer(await hook.send('github', { headers: { 'X-GitHub-Delivery': 'a\xff' } }), 'malformed', 'no UTF-8');
    assert.equal(await hook.count('events'), 1);
  });

  it('a delivery without a type is kept with the empty type, which * alone matches', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { any: { on: ['github/*'], log: {} }, some: { on: ['github/p*'], log: {} } } });
    assertAnswer(await hook.send('github', { id: 'untyped', headers: { 'X-GitHub-Event': null } }), 'accepted');
    assert.deepEqual((await hook.settled('github/untyped')).map((row) => row.handler), ['any']);
    assert.equal((await hook.event('github/untyped')).type, '');
  });
});
