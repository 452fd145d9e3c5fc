// send, sign and verify: the provider's side, on the command line.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import { describe, it } from 'node:test';
import { billing, github, https, plain, prepare, recorder, secret, serve, signature, signedRequest, standard, stripe } from './hook.mjs';

const sources = { github, stripe, standard, billing, plain };

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// A body with an id for the sources that look for it there.
const bodyFor = (name) => `{"id":"${name}-1","type":"test.event","text":"Zoë"}\n`;

describe('send', { timeout: 120_000, concurrency: 4 }, () => {
  it('signs as each provider would, and is accepted once', async (t) => {
    const hook = await serve(t, { listen: [{ ...https(), https: `127.0.0.1:${await freePort()}` }], sources, handlers: { note: { on: ['*/*'], log: {} } } });
    for (const name of Object.keys(sources)) {
      await writeFile(hook.path('body'), bodyFor(name));
      const args = ['send', '--source', name, '--type', 'test.event', '--id', `${name}-1`, '--body', hook.path('body')];
      assert.match(await hook.ok(...args), /accepted/, name);
      assert.match(await hook.ok(...args), /duplicate/, name);
      const event = await hook.event(`${name}/${name}-1`);
      assert.equal(event?.body.toString(), bodyFor(name), name);
      assert.equal(event.type, 'test.event', name);
      await hook.settled(`${name}/${name}-1`, { state: 'done' });
    }
  });

  it('makes up what it is not told, and sends as many as it is told', async (t) => {
    const hook = await serve(t, { listen: [{ ...https(), https: `127.0.0.1:${await freePort()}` }], sources, handlers: {} });
    for (const name of Object.keys(sources)) {
      await hook.ok('send', '--source', name);
      await hook.ok('send', '--source', name, '--count', '5');
      assert.equal(await hook.count('events', `source = '${name}'`), 6, name);
    }
  });

  it('goes where --url says', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    const { host, port } = hook.address('https');
    assert.match(await hook.ok('send', '--source', 'github', '--id', 'u1', '--type', 'push', '--url', `https://${host}:${port}/github`), /accepted/);
    assert.ok(await hook.event('github/u1'));
    const [again] = [await hook.json('send', '--source', 'github', '--id', 'u1', '--type', 'push', '--url', `https://${host}:${port}/github`)].flat();
    assert.equal(again.result, 'duplicate');
    const refused = await hook.cli('send', '--source', 'github', '--url', `https://${host}:${port}/elsewhere`);
    assert.equal(refused.code, 1);
    assert.match(refused.text, /not_found/);
  });

  it('says when nobody is there, or the source is unknown', async (t) => {
    const hook = await prepare(t, { listen: [{ ...https(), https: `127.0.0.1:${await freePort()}` }], sources });
    assert.equal((await hook.cli('send', '--source', 'github')).code, 4);
    const { code, text } = await hook.cli('send', '--source', 'gitub');
    assert.equal(code, 2);
    assert.match(text, /github/);
  });
});

describe('sign and verify', { timeout: 120_000, concurrency: 4 }, () => {
  const lines = (headers) => `${headers.map(([name, value]) => `${name}: ${value}`).join('\n')}\n`;
  // Verifies a request written into two files; `now` in seconds.
  async function verify(hook, source, { headers, body }, now) {
    await writeFile(hook.path('headers'), lines(headers));
    await writeFile(hook.path('body'), body);
    return hook.cli('verify', '--source', source, '--headers', hook.path('headers'), '--body', hook.path('body'), ...(now === undefined ? [] : ['--now', now]));
  }

  it('what sign prints is what the provider would send, and verify finds it good', async (t) => {
    const hook = await prepare(t, { sources });
    for (const name of Object.keys(sources)) {
      const body = Buffer.from(bodyFor(name));
      await writeFile(hook.path('body'), body);
      const printed = await hook.ok('sign', '--source', name, '--body', hook.path('body'));
      const headers = printed.trim().split('\n').map((line) => /^([^:\s]+): (.*)$/.exec(line)?.slice(1));
      assert.ok(headers.every(Boolean), `${name}: lines are Name: value\n${printed}`);
      const value = (wanted) => headers.find(([other]) => other.toLowerCase() === wanted.toLowerCase())?.[1];
      if (name === 'github') assert.equal(value('X-Hub-Signature-256'), `sha256=${signature(github, { body })}`);
      if (name === 'plain') assert.equal(value('X-Signature'), signature(plain, { body }));
      // an id that is not signed may be left to the sender
      for (const [source, header] of [['github', 'X-GitHub-Delivery'], ['billing', 'X-Billing-Id']]) if (source === name && !value(header)) headers.push([header, 'v1']);
      const good = await verify(hook, name, { headers, body });
      assert.equal(good.code, 0, `${name}: ${good.text}`);
    }
  });

  it('verify agrees with requests that others signed', async (t) => {
    const hook = await prepare(t, { sources });
    for (const [name, source] of Object.entries(sources)) {
      const { code, text } = await verify(hook, name, signedRequest(source, { id: 'v1' }));
      assert.equal(code, 0, `${name}: ${text}`);
    }
  });

  it('verify says the word when it is not good', async (t) => {
    const hook = await prepare(t, { sources });
    const at = 1_700_000_000;
    for (const [word, source, options, change, now = at] of [
      ['signature_mismatch', 'github', { secret: secret('other') }],
      ['signature_missing', 'github', {}, (headers) => headers.filter(([name]) => name !== 'X-Hub-Signature-256')],
      ['signature_malformed', 'github', {}, (headers) => headers.map(([name, value]) => [name, name === 'X-Hub-Signature-256' ? 'sha1=00' : value])],
      ['timestamp_missing', 'billing', { timestamp: at }, (headers) => headers.filter(([name]) => name !== 'X-Billing-Timestamp')],
      ['timestamp_too_old', 'stripe', { timestamp: at }, undefined, at + 420],
      ['timestamp_in_future', 'standard', { timestamp: at }, undefined, at - 420],
      ['timestamp_too_old', 'billing', { timestamp: at }, undefined, new Date((at + 301) * 1000).toISOString()],
    ]) {
      const request = signedRequest(sources[source], { id: 'v1', ...options });
      if (change) request.headers = change(request.headers);
      const { code, stdout } = await verify(hook, source, request, String(now));
      assert.equal(code, 1, `${word}: ${stdout}`);
      assert.match(stdout, new RegExp(word), word);
      if (word === 'timestamp_too_old' && source === 'stripe') assert.match(stdout, /7\s?m|420/, `the skew is said: ${stdout}`);
    }
  });

  it('exactly as old as the tolerance is good, a second more is not', async (t) => {
    const hook = await prepare(t, { sources });
    const at = 1_700_000_000;
    for (const name of ['stripe', 'standard', 'billing']) {
      const request = signedRequest(sources[name], { id: 'v1', timestamp: at });
      for (const [now, code] of [[at, 0], [at + 300, 0], [at - 300, 0], [at + 301, 1], [at - 301, 1]]) {
        const result = await verify(hook, name, request, String(now));
        assert.equal(result.code, code, `${name}, ${now - at} s: ${result.text}`);
      }
    }
  });

  it('verify tells which of several secrets matched', async (t) => {
    const hook = await prepare(t, { sources: { github: { ...github, secrets: [{ text: secret('one') }, { text: secret('two') }] } } });
    const first = await verify(hook, 'github', signedRequest(github, { id: 'v1', secret: secret('one') }));
    const second = await verify(hook, 'github', signedRequest(github, { id: 'v1', secret: secret('two') }));
    assert.deepEqual([first.code, second.code], [0, 0]);
    assert.notEqual(first.stdout, second.stdout, 'the same is said of both');
  });

  it('the signature of a handler’s own event can be checked again from the table', async (t) => {
    const keep = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { keep } });
    await hook.send('github', { id: 'k1' });
    await hook.settled('github/k1');
    const { headers, body } = await hook.event('github/k1');
    const { code, text } = await verify(hook, 'github', { headers, body });
    assert.equal(code, 0, text);
  });
});
