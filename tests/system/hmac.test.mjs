// The provider `hmac`: any HMAC scheme, written as data. Every key that the configuration page shows.
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, BODY_CANARY, billing, plain, prepare, seconds, secret, serve } from './hook.mjs';

describe('hmac', { timeout: 120_000, concurrency: 4 }, () => {
  it('the scheme of the manual works as it stands there', async (t) => {
    const hook = await serve(t, { sources: { billing: { ...billing, public_url: 'https://hooks.example.com/billing', ack: { status: 202, body: '' } } }, handlers: { note: { on: ['billing/invoice.paid'], log: {} } } });
    for (const word of ['accepted', 'duplicate']) {
      const answer = await hook.send('billing', { id: 'b1', type: 'invoice.paid' });
      assert.equal(answer.result, word);
      assert.equal(answer.status, 202);
      assert.equal(answer.text, '');
    }
    await hook.settled('billing/b1', { state: 'done' });
    assert.equal((await hook.event('billing/b1')).type, 'invoice.paid');
  });

  it('hex and base64, with and without a prefix', async (t) => {
    const sources = {};
    for (const encoding of ['hex', 'base64']) {
      for (const prefix of ['', 'v1=', 'sha256=']) {
        const name = `${encoding}_${prefix.replace('=', '') || 'bare'}`;
        sources[name] = { ...plain, path: `/${name}`, signature: { header: 'X-Signature', encoding, ...(prefix && { prefix }), signed: '{body}' } };
      }
    }
    const hook = await serve(t, { sources });
    for (const [name, { signature }] of Object.entries(sources)) {
      assertAnswer(await hook.send(name, { id: name }), 'accepted', name);
      assertAnswer(await hook.send(name, { headers: { 'X-Signature': `${signature.prefix ?? ''}!!` } }), 'signature_malformed', name);
      assertAnswer(await hook.send(name, { secret: secret('other') }), 'signature_mismatch', name);
      if (signature.prefix) assertAnswer(await hook.send(name, { headers: { 'X-Signature': 'other=00' } }), 'signature_malformed', name);
    }
  });

  it('hex may be upper-case', async (t) => {
    const hook = await serve(t, { sources: { plain } });
    const good = await hook.send('plain', { id: 'lower' });
    const value = good.sent.headers.find(([name]) => name === 'X-Signature')[1];
    assertAnswer(good, 'accepted');
    assertAnswer(await hook.send('plain', { body: good.sent.body, headers: { 'X-Signature': value.toUpperCase() } }), 'duplicate');
  });

  it('the template may hold the URL, the time, the id and fixed text in any order', async (t) => {
    const sources = {
      url: { ...plain, path: '/url', public_url: 'https://hooks.example.com/url', signature: { header: 'X-Signature', encoding: 'base64', signed: '{url}{body}' } },
      slack: { ...plain, path: '/slack', signature: { header: 'X-Signature', encoding: 'hex', prefix: 'v0=', signed: 'v0:{timestamp}:{body}' }, timestamp: { header: 'X-Time' } },
      id: { ...billing, path: '/id', signature: { header: 'X-Billing-Signature', encoding: 'hex', signed: '{id}.{timestamp}.{body}' } },
    };
    const hook = await serve(t, { sources });
    for (const name of Object.keys(sources)) assertAnswer(await hook.send(name, { id: name }), 'accepted', name);
    assertAnswer(await hook.send('url', { signed: { url: 'https://localhost/url' } }), 'signature_mismatch', 'the URL is the configured one, not what Host says');
    assertAnswer(await hook.send('url', { id: 'hosted', headers: { Host: 'elsewhere.example' } }), 'accepted');
    assertAnswer(await hook.send('slack', { signed: { timestamp: seconds() - 1 } }), 'signature_mismatch');
    assertAnswer(await hook.send('id', { signed: { id: 'other' } }), 'signature_mismatch');
  });

  it('the id may be in a header, in the body, made of parts, or generated', async (t) => {
    const sources = {
      header: { ...plain, path: '/header', event_id: { header: 'X-Id' } },
      body: { ...plain, path: '/body', event_id: { json: '/data/id' } },
      parts: { ...plain, path: '/parts', event_id: { parts: ['/kind', '/nothing', 'X-Part'] } },
      made: { ...plain, path: '/made', event_id: 'generated' },
    };
    const hook = await serve(t, { sources });
    assertAnswer(await hook.send('header', { id: 'h1' }), 'accepted');
    assertAnswer(await hook.send('header', { id: 'h1' }), 'duplicate');
    assertAnswer(await hook.send('body', { id: 'deep' }), 'accepted');
    assert.ok(await hook.event('body/deep'));
    assertAnswer(await hook.send('parts', { body: { kind: 'k' }, headers: { 'X-Part': 'p' } }), 'accepted');
    assertAnswer(await hook.send('parts', { body: { kind: 'k', more: 1 }, headers: { 'X-Part': 'p' } }), 'duplicate');
    assert.ok(await hook.event('parts/k::p'), 'a missing part is empty');
    assertAnswer(await hook.send('made', { body: '{"id":1}' }), 'accepted');
    assertAnswer(await hook.send('made', { body: '{"id":1}' }), 'accepted', 'repeats cannot be recognised');
    assert.equal(await hook.count('events', "source = 'made'"), 2);
  });

  it('a number as id keeps its digits, and of repeated keys the first counts', async (t) => {
    const hook = await serve(t, { sources: { plain } });
    for (const [body, id] of [
      ['{"id":123456789012345678901234567890,"type":"a"}', '123456789012345678901234567890'],
      ['{"id":"first","id":"second"}', 'first'],
      ['{"a":{"id":"inner"},"id":"outer"}', 'outer'],
      ['{"id":"tab\\u00e9\\ud83d\\ude80"}', 'tabé🚀'],
      [' {"id" : "spaced" } ', 'spaced'],
    ]) {
      assertAnswer(await hook.send('plain', { body }), 'accepted', body);
      assert.equal((await hook.event(`plain/${id}`))?.body.toString(), body, id);
    }
  });

  it('the type may be in a header too, and may have slashes', async (t) => {
    const hook = await serve(t, {
      sources: { plain: { ...plain, event_type: { header: 'X-Topic' } } },
      handlers: { paid: { on: ['plain/orders/paid'], log: {} }, orders: { on: ['plain/orders*'], log: {} }, other: { on: ['plain/Orders*'], log: {} } },
    });
    assertAnswer(await hook.send('plain', { id: 't1', type: 'orders/paid' }), 'accepted');
    assert.deepEqual((await hook.settled('plain/t1')).map((row) => row.handler), ['orders', 'paid']);
  });

  it('without event_type the type is empty', async (t) => {
    const { event_type: _, ...untyped } = plain;
    const hook = await serve(t, { sources: { plain: untyped }, handlers: { any: { on: ['plain/*'], log: {} }, named: { on: ['plain/push'], log: {} } } });
    assertAnswer(await hook.send('plain', { body: '{"id":"u1","type":"push"}' }), 'accepted');
    assert.deepEqual((await hook.settled('plain/u1')).map((row) => row.handler), ['any']);
  });

  it('the time in a header must be near, and is judged after the signature', async (t) => {
    const hook = await serve(t, { sources: { billing, loose: { ...billing, path: '/loose', tolerance: '2h' } } });
    assertAnswer(await hook.send('billing', { timestamp: seconds() - 320 }), 'timestamp_too_old');
    assertAnswer(await hook.send('billing', { timestamp: seconds() + 320 }), 'timestamp_in_future');
    assertAnswer(await hook.send('billing', { timestamp: seconds() - 320, secret: secret('other') }), 'signature_mismatch');
    assertAnswer(await hook.send('billing', { headers: { 'X-Billing-Timestamp': null } }), 'timestamp_missing');
    assertAnswer(await hook.send('loose', { timestamp: seconds() - 7000 }), 'accepted');
    const odd = await hook.send('billing', { timestamp: 'yesterday' });
    assert.equal(odd.status, 401, `a time that is none: ${odd.result}`);
    assert.equal(await hook.count('events'), 1);
  });

  it('secrets come from the environment, from a file less one newline, and from systemd’s credentials', async (t) => {
    const keys = { env: secret('env'), file: secret('file'), newlines: `${secret('newlines')}\n`, credential: secret('credential') };
    const hook = await prepare(t, {
      env: { HOOK_SECRET: keys.env },
      sources: {
        env: { ...plain, path: '/env', secrets: [{ env: 'HOOK_SECRET' }] },
        file: { ...plain, path: '/file', secrets: [{ text: `${keys.file}\n` }] },
        newlines: { ...plain, path: '/newlines', secrets: [{ text: `${keys.newlines}\n` }] },
        credential: { ...plain, path: '/credential', secrets: [{ credential: 'hook' }] },
      },
    });
    await mkdir(hook.path('credentials'));
    await writeFile(hook.path('credentials/hook'), keys.credential);
    hook.env.CREDENTIALS_DIRECTORY = hook.path('credentials');
    for (const key of Object.values(keys)) hook.keepSecret(key);
    await hook.start();
    for (const [name, key] of Object.entries(keys)) assertAnswer(await hook.send(name, { id: name, secret: key, body: { note: BODY_CANARY, id: name } }), 'accepted', name);
    assertAnswer(await hook.send('newlines', { secret: keys.newlines.trimEnd() }), 'signature_mismatch', 'only one newline is dropped');
  });

  it('repeated headers are refused where the scheme has no list', async (t) => {
    const hook = await serve(t, { sources: { billing } });
    const good = await hook.send('billing', { id: 'one' });
    const value = good.sent.headers.find(([name]) => name === 'X-Billing-Signature')[1];
    assertAnswer(await hook.send('billing', { headers: { 'X-Billing-Signature': [value, value] } }), 'signature_malformed');
    assertAnswer(await hook.send('billing', { headers: { 'X-Billing-Signature': ['', value] } }), 'signature_malformed', 'one of them empty');
    assertAnswer(await hook.send('billing', { headers: { 'X-Billing-Id': ['one', 'one'] } }), 'malformed');
    assert.equal(await hook.count('events'), 1);
  });
});
