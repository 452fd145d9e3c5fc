// Keys that providers publish: fetched when a request names one that is not known, off the receiving path, from the provider's hosts
// alone, checked, kept; 503 while they cannot be had.
import assert from 'node:assert/strict';
import { createHash, createPrivateKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import zlib from 'node:zlib';
import { assertAnswer, github, patience, serve, until } from './hook.mjs';
import { makeAuthority, outside } from './outside.mjs';

const seen = { note: { on: ['*/*'], log: {} } };
const topic = 'arn:aws:sns:us-east-1:123456789012:orders';
const crc32 = zlib.crc32 ?? ((bytes) => { // Node 18 has none
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
});

let authority;
before(() => (authority = makeAuthority()));
after(() => authority.remove());

// https://developer.paypal.com/api/rest/webhooks/rest/: id | time | webhook id | CRC-32 of the body
function paypalRequest({ id = `WH-${randomUUID()}`, signer = authority.paypal, url = `https://api.paypal.com/v1/notifications/certs/CERT-${randomUUID()}` } = {}) {
  const body = Buffer.from(JSON.stringify({ id, event_type: 'PAYMENT.CAPTURE.COMPLETED', resource: {} }));
  const transmission = randomUUID();
  const time = new Date().toISOString();
  const text = `${transmission}|${time}|WEBHOOK-1|${crc32(body)}`;
  const headers = [
    ['PAYPAL-TRANSMISSION-ID', transmission], ['PAYPAL-TRANSMISSION-TIME', time], ['PAYPAL-CERT-URL', url], ['PAYPAL-AUTH-ALGO', 'SHA256withRSA'],
    ['PAYPAL-TRANSMISSION-SIG', sign('RSA-SHA256', Buffer.from(text), signer.key).toString('base64')], ['Content-Type', 'application/json'],
  ];
  return { target: '/paypal', headers, body, id, url };
}
const paypal = { path: '/paypal', provider: 'paypal', webhook_id: 'WEBHOOK-1' };

// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
function snsRequest(message, { url = `https://sns.us-east-1.amazonaws.com/SimpleNotificationService-${randomUUID()}.pem`, version = '2' } = {}) {
  const whole = { MessageId: randomUUID(), TopicArn: topic, Timestamp: new Date().toISOString(), SignatureVersion: version, SigningCertURL: url, ...message };
  const names = whole.Type === 'Notification' ? ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type'] : ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'];
  const text = names.filter((name) => name in whole).map((name) => `${name}\n${whole[name]}\n`).join('');
  whole.Signature = sign(version === '1' ? 'RSA-SHA1' : 'RSA-SHA256', Buffer.from(text), authority.sns.key).toString('base64');
  return { target: '/sns', headers: [['Content-Type', 'text/plain; charset=UTF-8'], ['x-amz-sns-message-type', whole.Type]], body: Buffer.from(JSON.stringify(whole, null, 2)), id: whole.MessageId, url };
}
const sns = { path: '/sns', provider: 'aws-sns', topic_arns: [topic] };

// https://plaid.com/docs/api/webhooks/webhook-verification/
const base64url = (bytes) => Buffer.from(bytes).toString('base64url');
function plaidRequest(kid, key, { alg = 'ES256', claims = {} } = {}) {
  const body = Buffer.from(JSON.stringify({ webhook_type: 'ITEM', webhook_code: 'ERROR', item_id: randomUUID() }, null, 2));
  const payload = { iat: Math.floor(Date.now() / 1000), request_body_sha256: createHash('sha256').update(body).digest('hex'), ...claims };
  const text = `${base64url(JSON.stringify({ alg, kid, typ: 'JWT' }))}.${base64url(JSON.stringify(payload))}`;
  const signature = sign('SHA256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return { target: '/plaid', headers: [['Plaid-Verification', `${text}.${base64url(signature)}`], ['Content-Type', 'application/json']], body };
}
const plaid = { path: '/plaid', provider: 'plaid', event_id: 'generated', client_id: 'client-1' };

describe('key', { timeout: 120_000, concurrency: 4 }, () => {
  it('a certificate is fetched once, and a restart needs no network', async (t) => {
    const world = await outside(t, authority, () => ({ body: authority.paypal.certificate }));
    const hook = await serve(t, { sources: { paypal }, handlers: seen, fetch: world.fetch });
    const first = paypalRequest();
    assertAnswer(await hook.request(first), 'accepted');
    assertAnswer(await hook.request(first), 'duplicate');
    assertAnswer(await hook.request(paypalRequest({ url: first.url })), 'accepted');
    assert.deepEqual(world.asked.map(({ host, target }) => `https://${host}${target}`), [first.url]);
    assert.equal((await readdir(hook.path('hooklatch.db.keys'))).length, 1);
    await hook.restart();
    assertAnswer(await hook.request(paypalRequest({ url: first.url })), 'accepted');
    assert.equal(world.asked.length, 1, 'it was kept beside the store');
    assert.equal(await hook.count('events'), 3);
  });

  it('many requests that wait for one certificate fetch it once', async (t) => {
    const url = 'https://api.paypal.com/v1/notifications/certs/CERT-slow';
    let release;
    const gate = new Promise((resolve) => (release = resolve));
    const world = await outside(t, authority, async () => (await gate, { body: authority.paypal.certificate }));
    const hook = await serve(t, { sources: { paypal, github }, handlers: seen, fetch: world.fetch });
    const answers = Array.from({ length: 8 }, async () => hook.request({ connection: await hook.connect(), ...paypalRequest({ url }) }));
    await until('the fetch to begin', () => world.asked.length === 1);
    assertAnswer(await hook.send('github', { id: 'meanwhile' }), 'accepted', 'the loops receive on');
    release();
    for (const answer of await Promise.all(answers)) assertAnswer(answer, 'accepted');
    assert.equal(world.asked.length, 1);
  });

  it('what cannot be had is 503, and nothing is stored', async (t) => {
    const replies = {
      '/hang': 'hang', '/500': { status: 500 }, '/redirect': { status: 302 }, '/text': { body: 'no certificate' }, '/large': { body: 'x'.repeat(200_000) },
      '/other': { body: authority.other.certificate }, '/unchained': { body: authority.unchained.certificate },
    };
    const world = await outside(t, authority, (request) => replies[request.url]);
    const hook = await serve(t, { sources: { paypal }, handlers: seen, fetch: { ...world.fetch, timeout: `${300 * patience}ms` } });
    for (const name of Object.keys(replies)) {
      const signer = name === '/other' ? authority.other : name === '/unchained' ? authority.unchained : authority.paypal;
      const answer = await hook.request(paypalRequest({ url: `https://api.paypal.com${name}`, signer }));
      assertAnswer(answer, 'key_unavailable', name);
      await hook.logged((entry) => entry.event === 'key.unavailable' && entry.key === `https://api.paypal.com${name}`);
    }
    assert.equal(await hook.count('events'), 0);
    assert.equal(world.asked.length, Object.keys(replies).length);
    // what failed is not asked for again at once
    assertAnswer(await hook.request(paypalRequest({ url: 'https://api.paypal.com/500' })), 'key_unavailable');
    assert.equal(world.asked.length, Object.keys(replies).length);
  });

  it('no host but the provider\'s is ever asked', async (t) => {
    const world = await outside(t, authority, () => ({ body: authority.paypal.certificate }));
    const hook = await serve(t, { sources: { paypal, sns }, handlers: seen, fetch: world.fetch });
    for (const url of ['https://paypal.com.example.com/c', 'http://api.paypal.com/c', 'https://api.paypal.com@example.com/c', 'https://api.paypal.com:8443/c', 'https://evilpaypal.com/c', 'https://example.com/api.paypal.com', 'file:///etc/passwd', '']) {
      assertAnswer(await hook.request(paypalRequest({ url })), 'signature_malformed', url);
    }
    for (const url of ['https://sns.us-east-1.amazonaws.com/key.txt', 'https://s3.us-east-1.amazonaws.com/a.pem', 'https://sns.evil.us-east-1.amazonaws.com/a.pem']) {
      assertAnswer(await hook.request(snsRequest({ Type: 'Notification', Message: 'm' }, { url })), 'signature_malformed', url);
    }
    assertAnswer(await hook.request(snsRequest({ Type: 'Notification', Message: 'm', TopicArn: 'arn:aws:sns:us-east-1:1:other' })), 'signature_mismatch');
    assert.deepEqual([world.asked, world.connects], [[], []]);
  });

  it('a subscription is confirmed by a visit, once its signature and topic are right', async (t) => {
    const confirm = 'https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=abc';
    const world = await outside(t, authority, (request) => (request.url.endsWith('.pem') ? { body: authority.sns.certificate } : { body: '<ok/>' }));
    const hook = await serve(t, { sources: { sns }, handlers: seen, fetch: world.fetch });
    const asked = { Type: 'SubscriptionConfirmation', Token: 'abc', Message: 'You have chosen to subscribe', SubscribeURL: confirm };
    const answer = await hook.request(snsRequest(asked));
    assert.deepEqual([answer.status, answer.result], [200, 'challenge']);
    await hook.logged((entry) => entry.event === 'subscription.confirmed');
    assert.deepEqual(world.asked.filter(({ target }) => target.includes('Confirm')).map(({ target }) => target), ['/?Action=ConfirmSubscription&Token=abc']);
    for (const version of ['1', '2']) assertAnswer(await hook.request(snsRequest({ Type: 'Notification', Message: '{"order":1}', Subject: 'Order' }, { version })), 'accepted', `version ${version}`);
    const before = world.connects.length;
    await hook.request(snsRequest({ ...asked, SubscribeURL: 'https://example.com/?Token=abc' }));
    await hook.logged((entry) => entry.event === 'subscription.failed');
    assert.ok(world.connects.slice(before).every((target) => target.startsWith('sns.us-east-1.amazonaws.com:')));
    assert.equal(await hook.count('events'), 2);
  });

  it('a JSON Web Key is asked for with the account, by its kid', async (t) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'kid-1', alg: 'ES256', use: 'sig', created_at: 1, expired_at: null };
    const world = await outside(t, authority, (request, body) => {
      const { client_id: id, secret, key_id: kid } = JSON.parse(body);
      if (id !== 'client-1' || secret !== 'plaid-secret') return { status: 400, body: JSON.stringify({ error_code: 'INVALID_API_KEYS' }) };
      if (kid !== 'kid-1') return { status: 400, body: JSON.stringify({ error_code: 'INVALID_WEBHOOK_VERIFICATION_KEY_ID' }) };
      return { body: JSON.stringify({ key: jwk, request_id: 'r' }) };
    });
    const hook = await serve(t, { sources: { plaid: { ...plaid, secret: { env: 'PLAID_SECRET' } } }, handlers: seen, fetch: world.fetch, env: { PLAID_SECRET: 'plaid-secret' } });
    assertAnswer(await hook.request(plaidRequest('kid-1', privateKey)), 'accepted');
    assertAnswer(await hook.request(plaidRequest('kid-1', privateKey)), 'accepted');
    assert.deepEqual(world.asked.map(({ host, target, method }) => `${method} ${host}${target}`), ['POST production.plaid.com/webhook_verification_key/get']);
    assertAnswer(await hook.request(plaidRequest('kid-2', privateKey)), 'signature_mismatch', 'Plaid knows no such key');
    assertAnswer(await hook.request(plaidRequest('kid-2', privateKey)), 'signature_mismatch');
    assert.equal(world.asked.length, 2, 'an unknown kid is asked for once');
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    assertAnswer(await hook.request(plaidRequest('kid-1', other)), 'signature_mismatch');
    assertAnswer(await hook.request(plaidRequest('kid-1', privateKey, { alg: 'HS256' })), 'signature_malformed');
    assertAnswer(await hook.request(plaidRequest('kid-1', privateKey, { claims: { iat: Math.floor(Date.now() / 1000) - 301 } })), 'timestamp_too_old');
    assertAnswer(await hook.request(plaidRequest('kid-1', privateKey, { claims: { request_body_sha256: '0'.repeat(64) } })), 'signature_mismatch');
    assert.equal((await hook.sql('select distinct type from events'))[0].type, 'ITEM:ERROR');
    assert.ok(createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })));
  });

  it('a client that goes while its key is fetched leaves nothing behind', async (t) => {
    let release;
    const gate = new Promise((resolve) => (release = resolve));
    const world = await outside(t, authority, async () => (await gate, { body: authority.paypal.certificate }));
    const hook = await serve(t, { sources: { paypal }, handlers: seen, fetch: world.fetch });
    const url = 'https://api.paypal.com/v1/notifications/certs/CERT-gone';
    const connection = await hook.connect();
    const request = hook.request({ connection, ...paypalRequest({ url }) }).catch(() => null);
    await until('the fetch to begin', () => world.asked.length === 1);
    connection.close();
    await request;
    release();
    assertAnswer(await hook.request(paypalRequest({ url })), 'accepted');
    const events = await hook.count('events');
    assert.ok(events === 1 || events === 2, 'stored or not, nobody was told');
  });
});
