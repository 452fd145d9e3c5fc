// Stripe events, signed by the test-header function of Stripe's own package.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import Stripe from 'stripe';
import { assertAnswer, seconds, secret, serve, stripe } from './hook.mjs';

const sdk = new Stripe('sk_test_nothing');
const key = stripe.secrets[0].text;

// Pretty-printed with a trailing newline, as Stripe sends them: the bytes must not be touched.
const event = (id, type = 'charge.succeeded') => `${JSON.stringify({
  id, object: 'event', api_version: '2025-08-27.basil', created: seconds(), type, livemode: false, pending_webhooks: 1,
  data: { object: { id: 'ch_1', object: 'charge', amount: 2000, currency: 'usd', description: 'Zoë 東京 🚀' } },
  request: { id: 'req_1', idempotency_key: '4e2e' },
}, null, 2)}\n`;

function deliver(hook, payload, { header, ...options } = {}) {
  const value = header ?? sdk.webhooks.generateTestHeaderString({ payload, secret: key, ...options });
  return hook.request({ target: '/stripe', headers: [['User-Agent', 'Stripe/1.0'], ['Content-Type', 'application/json; charset=utf-8'], ...[value].flat().map((one) => ['Stripe-Signature', one])], body: Buffer.from(payload) });
}

describe('stripe', { timeout: 120_000, concurrency: 4 }, () => {
  it('events signed by Stripe’s own package are accepted once and kept byte for byte', async (t) => {
    const hook = await serve(t, { sources: { stripe }, handlers: { note: { on: ['stripe/*'], log: {} } } });
    for (const type of ['charge.succeeded', 'invoice.paid', 'customer.subscription.trial_will_end']) {
      const payload = event(`evt_${type}`, type);
      assertAnswer(await deliver(hook, payload), 'accepted');
      assertAnswer(await deliver(hook, payload, { timestamp: seconds() - 5 }), 'duplicate', 'a retry is signed anew');
      const stored = await hook.event(`stripe/evt_${type}`);
      assert.equal(stored.type, type);
      assert.equal(stored.body.toString(), payload);
    }
    await hook.idle();
    assert.equal(await hook.count('deliveries', "state = 'done'"), 3);
  });

  it('the time that was signed must be near', async (t) => {
    const hook = await serve(t, { sources: { stripe } });
    assertAnswer(await deliver(hook, event('evt_old'), { timestamp: seconds() - 320 }), 'timestamp_too_old');
    assertAnswer(await deliver(hook, event('evt_new'), { timestamp: seconds() + 320 }), 'timestamp_in_future');
    assertAnswer(await deliver(hook, event('evt_late'), { timestamp: seconds() - 270 }), 'accepted');
    assertAnswer(await deliver(hook, event('evt_early'), { timestamp: seconds() + 270 }), 'accepted');
    assert.equal(await hook.count('events'), 2);
  });

  it('a tolerance of the source’s own holds', async (t) => {
    const hook = await serve(t, { sources: { stripe: { ...stripe, tolerance: '1h' } } });
    assertAnswer(await deliver(hook, event('evt_1'), { timestamp: seconds() - 3500 }), 'accepted');
    assertAnswer(await deliver(hook, event('evt_2'), { timestamp: seconds() - 3700 }), 'timestamp_too_old');
  });

  it('one good signature among several is enough, other schemes are skipped', async (t) => {
    const hook = await serve(t, { sources: { stripe } });
    const sign = (payload) => sdk.webhooks.generateTestHeaderString({ payload, secret: key }).split(',');
    for (const [name, arrange] of Object.entries({
      second: ([time, good]) => `${time},v1=${'0'.repeat(64)},${good}`,
      with_v0: ([time, good]) => `${time},v0=${'6'.repeat(64)},${good}`,
      last_is_v0: ([time, good]) => `${time},${good},v0=${'6'.repeat(64)}`,
      upper_case: ([time, good]) => `${time},v1=${good.slice(3).toUpperCase()}`,
    })) {
      const payload = event(`evt_${name}`);
      assertAnswer(await deliver(hook, payload, { header: arrange(sign(payload)) }), 'accepted', name);
    }
  });

  it('each fault of the header has its own word', async (t) => {
    const hook = await serve(t, { sources: { stripe } });
    const payload = event('evt_1');
    const [time, good] = sdk.webhooks.generateTestHeaderString({ payload, secret: key }).split(',');
    const send = (header) => deliver(hook, payload, { header });
    assertAnswer(await send([]), 'signature_missing', 'no header');
    assertAnswer(await send(''), 'signature_missing', 'empty header');
    assertAnswer(await send(`${time}`), 'signature_malformed', 'no signature in it');
    assertAnswer(await send(`${time},v0=${good.slice(3)}`), 'signature_malformed', 'only another scheme');
    assertAnswer(await send(`${time},v1=xyz`), 'signature_malformed', 'no hex');
    assertAnswer(await send(`${good}`), 'timestamp_missing', 'no time');
    assertAnswer(await send(`${time},v1=${'0'.repeat(64)}`), 'signature_mismatch', 'another signature');
    assertAnswer(await deliver(hook, payload, { secret: secret('other') }), 'signature_mismatch', 'another secret');
    assertAnswer(await deliver(hook, payload, { secret: key.slice('whsec_'.length) }), 'signature_mismatch', 'the whole text is the key, with whsec_');
    assertAnswer(await send(`t=${Number(time.slice(2)) + 1},${good}`), 'signature_mismatch', 'another time');
    assert.equal(await hook.count('events'), 0);
  });

  it('what is signed but has no usable id is malformed', async (t) => {
    const hook = await serve(t, { sources: { stripe } });
    for (const payload of ['{"type":"charge.succeeded"}', 'no json', '{"id":null}', '{"id":{}}', '{"id":[1]}', '{"id":true}', '{"id":""}', '{"id":"evt\\u0007"}', '{"id":"evt', '"evt_1"', '[]', '']) {
      assertAnswer(await deliver(hook, payload), 'malformed', JSON.stringify(payload));
    }
    assert.equal(await hook.count('events'), 0);
  });
});
