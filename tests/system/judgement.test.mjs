// Which word an answer has when more than one thing is wrong, and that nothing but good requests is stored.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertAnswer, billing, github, http, https, plain, requestBytes, seconds, secret, serve, signatureHeader, spread, standard, stripe, understood } from './hook.mjs';

describe('judgement', { timeout: 120_000, concurrency: 4 }, () => {
  it('the signature’s presence, then its form, then the time’s presence, then its truth, then its age, then the id, then the type', async (t) => {
    const source = { ...billing, event_id: { json: '/id' }, types: ['wanted'] };
    const hook = await serve(t, { sources: { billing: source } });
    const old = seconds() - 1000;
    const body = '{"type":"other"}'; // no id, and not wanted
    const faults = [
      ['signature_missing', { headers: { 'X-Billing-Signature': null, 'X-Billing-Timestamp': null } }],
      ['signature_malformed', { headers: { 'X-Billing-Signature': 'sha256=zz', 'X-Billing-Timestamp': null } }],
      ['timestamp_missing', { secret: secret('other'), headers: { 'X-Billing-Timestamp': null } }],
      ['signature_mismatch', { secret: secret('other'), timestamp: old }],
      ['timestamp_too_old', { timestamp: old }],
      ['timestamp_in_future', { timestamp: seconds() + 1000 }],
      ['malformed', {}],
      ['malformed', { body: 'not json' }],
      ['ignored', { body: '{"id":"x","type":"other"}' }],
      ['accepted', { body: '{"id":"x","type":"wanted"}' }],
    ];
    for (const [word, options] of faults) assertAnswer(await hook.send('billing', { body, ...options }), word);
    assert.equal(await hook.count('events'), 1);
    const { rejected, ignored, accepted } = await hook.stats();
    assert.deepEqual(Object.fromEntries(Object.entries(rejected).filter(([, count]) => count > 0)), {
      signature_missing: 1, signature_malformed: 1, timestamp_missing: 1, signature_mismatch: 1, timestamp_too_old: 1, timestamp_in_future: 1, malformed: 2,
    });
    assert.equal(ignored, 1);
    assert.equal(accepted, 1);
  });

  it('before that: the path, the method, the address, the size, the headers', async (t) => {
    const hook = await serve(t, {
      sources: { open: { ...plain, path: '/open' }, closed: { ...plain, path: '/closed', allow: ['10.0.0.0/8'] } },
      limits: { body: '64KiB' },
    });
    const many = Array.from({ length: 200 }, (_, n) => [`X-${n}`, 'y']);
    const large = ['Content-Length', String(1 << 30)];
    const ask = async (method, target, headers) => {
      const connection = await hook.connect();
      await connection.write(requestBytes({ method, target, headers: [['Host', 'localhost'], ...headers] }));
      const answer = await connection.response({ head: method === 'HEAD' });
      connection.close();
      assert.ok(answer, `no answer to ${method} ${target}`);
      return understood(answer, method);
    };
    assertAnswer(await ask('GET', '/nothing', [large, ...many]), 'not_found');
    const method = await ask('GET', '/closed', [large, ...many]);
    assertAnswer(method, 'method');
    assert.match(method.header('allow') ?? '', /\bPOST\b/);
    assertAnswer(await ask('POST', '/closed', [large, ...many]), 'address_refused');
    assertAnswer(await ask('POST', '/open', [large, ...many]), 'body_too_large');
    assertAnswer(await ask('POST', '/open', [['Content-Length', '2'], ...many]), 'headers_too_large');
    for (const verb of ['PUT', 'DELETE', 'PATCH', 'OPTIONS']) assertAnswer(await ask(verb, '/open', [['Content-Length', '0']]), 'method', verb);
    assert.equal((await ask('HEAD', '/open', [])).status, 405);
  });

  it('paths are compared byte for byte, without the query', async (t) => {
    const hook = await serve(t, { sources: { github } });
    for (const target of ['/', '/github/', '/Github', '/%67ithub', '//github', '/github/../github', '/githu', '/githubb', '/github;a=b']) {
      assertAnswer(await hook.send('github', { target }), 'not_found', target);
    }
    assertAnswer(await hook.send('github', { id: 'q1', query: '?a=b&c=%2f' }), 'accepted');
    assertAnswer(await hook.send('github', { id: 'q2', query: '?' }), 'accepted');
  });

  it('a bit flipped anywhere in what is signed is refused and nothing is stored', async (t) => {
    const sources = { github, stripe, standard, billing };
    const hook = await serve(t, { sources });
    for (const [name, source] of Object.entries(sources)) {
      const { sent } = await hook.send({ ...source, path: '/nowhere' }, { type: 'push' }); // signed, but thrown away: 404
      const places = Array.from({ length: 48 }, (_, n) => Math.floor((n * sent.body.length) / 48));
      const answers = await spread([...places, 0, sent.body.length - 1], 4, (at, n) => {
        const body = Buffer.from(sent.body);
        body[at] ^= 1 << (n % 8);
        return hook.request({ target: source.path, headers: sent.headers, body });
      });
      for (const answer of answers) assertAnswer(answer, 'signature_mismatch', name);
      for (const body of [sent.body.subarray(1), sent.body.subarray(0, -1), Buffer.concat([sent.body, Buffer.from('\n')]), Buffer.concat([Buffer.from(' '), sent.body]), Buffer.alloc(0)]) {
        assertAnswer(await hook.request({ target: source.path, headers: sent.headers, body }), 'signature_mismatch', `${name}: another length`);
      }
    }
    assert.equal(await hook.count('events'), 0);
  });

  it('a bit flipped anywhere in the signature is refused and nothing is stored', async (t) => {
    const sources = { github, stripe, standard, billing };
    const hook = await serve(t, { sources });
    for (const [name, source] of Object.entries(sources)) {
      const { sent } = await hook.send({ ...source, path: '/nowhere' });
      const header = signatureHeader(source);
      const value = sent.headers.find(([other]) => other === header)[1];
      const places = Array.from({ length: value.length }, (_, at) => at);
      await spread(places, 4, async (at) => {
        const altered = value.slice(0, at) + String.fromCharCode(value.charCodeAt(at) ^ 1) + value.slice(at + 1);
        if (name === 'standard' && at === value.length - 2) return; // this bit of base64 means nothing
        const answer = await hook.request({ target: source.path, headers: sent.headers.map(([other, old]) => [other, other === header ? altered : old]), body: sent.body });
        assert.equal(answer.status, 401, `${name}: ${altered} was ${answer.status} ${answer.text}`);
      });
    }
    assert.equal(await hook.count('events'), 0);
  });

  it('signed times and ids cannot be changed', async (t) => {
    const hook = await serve(t, { sources: { standard, billing } });
    for (const [name, header] of [['standard', 'webhook-timestamp'], ['standard', 'webhook-id'], ['billing', 'X-Billing-Timestamp']]) {
      const { sent } = await hook.send({ ...hook.config.sources[name], path: '/nowhere' });
      const value = sent.headers.find(([other]) => other === header)[1];
      for (let at = 0; at < value.length; at++) {
        const altered = value.slice(0, at) + String.fromCharCode(value.charCodeAt(at) ^ 1) + value.slice(at + 1);
        const answer = await hook.request({ target: hook.config.sources[name].path, headers: sent.headers.map(([other, old]) => [other, other === header ? altered : old]), body: sent.body });
        assertAnswer(answer, 'signature_mismatch', `${header}: ${altered}`);
      }
    }
    assert.equal(await hook.count('events'), 0);
  });

  it('types that are not wanted are ignored and not stored', async (t) => {
    const hook = await serve(t, { sources: { github: { ...github, types: ['push', 'pull_request*'] } } });
    for (const [type, word] of [['push', 'accepted'], ['pull_request', 'accepted'], ['pull_request_review', 'accepted'], ['pushed', 'ignored'], ['Push', 'ignored'], ['issues', 'ignored'], ['', 'ignored']]) {
      assertAnswer(await hook.send('github', { id: `t-${type}`, type, headers: type === '' ? { 'X-GitHub-Event': null } : {} }), word, type);
    }
    assertAnswer(await hook.send('github', { type: 'issues', secret: secret('other') }), 'signature_mismatch', 'only who signs is told what is wanted');
    assert.equal(await hook.count('events'), 3);
    assert.equal((await hook.stats()).ignored, 4);
  });

  it('ack replaces status and body of what was taken, and of nothing else', async (t) => {
    const hook = await serve(t, { sources: { plain: { ...plain, types: ['push'], ack: { status: 204, body: '' } }, text: { ...plain, path: '/text', ack: { status: 200, body: '[accepted]' } } } });
    for (const [word, options] of [['accepted', { id: 'a' }], ['duplicate', { id: 'a' }], ['ignored', { id: 'b', type: 'other' }]]) {
      const answer = await hook.send('plain', options);
      assert.deepEqual([answer.status, answer.result, answer.text], [204, word, '']);
    }
    const answer = await hook.send('text', { id: 'a' });
    assert.deepEqual([answer.status, answer.result, answer.text], [200, 'accepted', '[accepted]']);
    assertAnswer(await hook.send('plain', { secret: secret('other') }), 'signature_mismatch');
    assertAnswer(await hook.send('plain', { body: '{}' }), 'malformed');
  });

  it('allow lets in who is on it, and takes the address of the peer', async (t) => {
    const hook = await serve(t, {
      sources: { in: { ...plain, path: '/in', allow: ['192.30.252.0/22', '127.0.0.0/8'] }, out: { ...plain, path: '/out', allow: ['192.30.252.0/22'] }, one: { ...plain, path: '/one', allow: ['127.0.0.1'] } },
    });
    assertAnswer(await hook.send('in', { id: 'a' }), 'accepted');
    assertAnswer(await hook.send('one', { id: 'a' }), 'accepted');
    assertAnswer(await hook.send('out', { id: 'a' }), 'address_refused');
    assertAnswer(await hook.send('out', { id: 'a', headers: { 'X-Forwarded-For': '192.30.252.1' } }), 'address_refused', 'nobody trusts that header here');
  });

  it('behind trusted proxies the address is the right-most one that is not theirs', async (t) => {
    const hook = await serve(t, {
      listen: [http({ trusted_proxies: ['127.0.0.0/8', '10.9.0.0/16'] }), https()],
      sources: { plain: { ...plain, allow: ['192.0.2.0/24'] } },
    });
    const send = (forwarded, to = 'http') => hook.send('plain', { to, headers: { 'X-Forwarded-For': forwarded } });
    assertAnswer(await send('192.0.2.7'), 'accepted');
    assertAnswer(await send('198.51.100.1, 192.0.2.7'), 'accepted', 'what stands further left is hearsay');
    assertAnswer(await send('192.0.2.7, 10.9.3.3'), 'accepted', 'a second proxy');
    assertAnswer(await send(['192.0.2.7', '10.9.3.3, 127.0.0.5']), 'accepted', 'two headers are one list');
    assertAnswer(await send('192.0.2.7, 198.51.100.1'), 'address_refused');
    assertAnswer(await send('198.51.100.1, 10.9.3.3'), 'address_refused');
    assertAnswer(await send(null), 'address_refused', 'the proxy itself');
    assertAnswer(await send('192.0.2.7', 'https'), 'address_refused', 'this listener trusts nobody');
  });

  it('a unix socket behind a proxy knows the address by the header', async (t) => {
    const hook = await serve(t, { listen: [{ http: 'unix:receive.sock', trusted_proxies: ['10.9.0.0/16'] }], sources: { plain: { ...plain, allow: ['192.0.2.0/24'] } } });
    assertAnswer(await hook.send('plain', { headers: { 'X-Forwarded-For': '192.0.2.7' } }), 'accepted');
    assertAnswer(await hook.send('plain', { headers: { 'X-Forwarded-For': '192.0.2.7, 10.9.1.1' } }), 'accepted');
    assertAnswer(await hook.send('plain', { headers: { 'X-Forwarded-For': '198.51.100.1' } }), 'address_refused');
  });
});
