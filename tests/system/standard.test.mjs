// Standard Webhooks, signed by the standardwebhooks package.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { assertAnswer, seconds, serve, standard, standardSecret } from './hook.mjs';

const key = standard.secrets[0].text;
const body = (text = 'hello') => JSON.stringify({ type: 'invoice.paid', timestamp: new Date().toISOString(), data: { text } });

function deliver(hook, { id = 'msg_1', text = body(), at = new Date(), signer = new Webhook(key), changes = {} } = {}) {
  const headers = { 'webhook-id': id, 'webhook-timestamp': String(Math.floor(at / 1000)), 'webhook-signature': signer.sign(id, at, text), ...changes };
  const list = Object.entries(headers).flatMap(([name, value]) => (value === null ? [] : [value].flat().map((one) => [name, one])));
  return hook.request({ target: '/standard', headers: [['Content-Type', 'application/json'], ...list], body: Buffer.from(text) });
}

describe('standard webhooks', { timeout: 120_000, concurrency: 4 }, () => {
  it('events signed by the standard’s own package are accepted once and kept byte for byte', async (t) => {
    const hook = await serve(t, { sources: { standard }, handlers: { note: { on: ['standard/invoice.*'], log: {} } } });
    const text = body('Zoë 東京');
    assertAnswer(await deliver(hook, { id: 'msg_1', text }), 'accepted');
    assertAnswer(await deliver(hook, { id: 'msg_1', text, at: new Date(Date.now() - 30_000) }), 'duplicate');
    const stored = await hook.event('standard/msg_1');
    assert.equal(stored.body.toString(), text);
    assert.equal(stored.type, 'invoice.paid');
    await hook.settled('standard/msg_1', { state: 'done' });
  });

  it('one good signature in the list is enough, other versions are skipped', async (t) => {
    const hook = await serve(t, { sources: { standard } });
    const other = new Webhook(standardSecret('other'));
    const good = new Webhook(key);
    const now = new Date();
    for (const [id, arrange] of Object.entries({
      second: (text) => `${other.sign('second', now, text)} ${good.sign('second', now, text)}`,
      version: (text) => `v1a,AAAA ${good.sign('version', now, text)}`,
    })) {
      const text = body(id);
      assertAnswer(await deliver(hook, { id, text, at: now, changes: { 'webhook-signature': arrange(text) } }), 'accepted', id);
    }
  });

  it('each fault of the headers has its own word', async (t) => {
    const hook = await serve(t, { sources: { standard } });
    const signer = new Webhook(key);
    const at = new Date();
    const text = body();
    const good = signer.sign('msg_1', at, text);
    const send = (changes, rest) => deliver(hook, { text, at, changes, ...rest });
    assertAnswer(await send({ 'webhook-signature': null }), 'signature_missing');
    assertAnswer(await send({ 'webhook-signature': '' }), 'signature_missing', 'empty');
    assertAnswer(await send({ 'webhook-signature': good.slice(3) }), 'signature_malformed', 'no version');
    assertAnswer(await send({ 'webhook-signature': 'v1a,AAAA' }), 'signature_malformed', 'another version only');
    assertAnswer(await send({ 'webhook-signature': 'v1,***' }), 'signature_malformed', 'no base64');
    assertAnswer(await send({ 'webhook-timestamp': null }), 'timestamp_missing');
    assertAnswer(await send({ 'webhook-timestamp': String(seconds() + 1) }), 'signature_mismatch', 'another time');
    assertAnswer(await send({ 'webhook-id': 'msg_2' }), 'signature_mismatch', 'another id: it is signed');
    assertAnswer(await send({}, { signer: new Webhook(standardSecret('other')) }), 'signature_mismatch', 'another secret');
    assertAnswer(await send({ 'webhook-signature': signer.sign('msg_1', at, `${text} `) }), 'signature_mismatch', 'another body');
    const old = new Date(Date.now() - 320_000);
    assertAnswer(await deliver(hook, { at: old }), 'timestamp_too_old');
    const early = new Date(Date.now() + 320_000);
    assertAnswer(await deliver(hook, { at: early }), 'timestamp_in_future');
    assert.equal(await hook.count('events'), 0);
  });

  it('a secret without the whsec_ prefix is the same secret', async (t) => {
    const hook = await serve(t, { sources: { standard: { ...standard, secrets: [{ text: key.replace('whsec_', '') }] } } });
    assertAnswer(await deliver(hook), 'accepted');
  });
});
