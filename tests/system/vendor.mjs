// The providers' own npm libraries, as independent signers and judges of what they send. A provider here says
//   secret(dice) or keys()     what it signs with; `needs(keys)` are the keys of a source beyond its secrets
//   event(dice, context)       one event: its id and type, members of its document, headers; `token` is signed text, for a forger to change
//   sign(context, request)     the headers of a signature: by the library (`signs` names its function), or by the recipe of the
//                              provider's documentation where the library can only verify
//   accepts(context, request)  the verdict of the library
// Where events come in an array, `several` makes the document of them, and `depth` is how deep an event stands in it. `sealed`: the
// signature is in the body. `generated`: there is no id. `ack` is the answer that the provider wants, when it is no JSON of ours; `files`
// are written beside the configuration; `judges` says which bodies the library can be asked about.
import { createHash, createHmac, createPublicKey, createSign, randomUUID, sign as signBytes, webcrypto } from 'node:crypto';
import https from 'node:https';
import { PassThrough } from 'node:stream';
import adyen from '@adyen/api-library';
import contentful from '@contentful/node-apps-toolkit';
import hubspot from '@hubspot/api-client';
import line from '@line/bot-sdk';
import linear from '@linear/sdk';
import * as octokit from '@octokit/webhooks-methods';
import { Paddle } from '@paddle/paddle-node-sdk';
import sendgrid from '@sendgrid/eventwebhook';
import '@shopify/shopify-api/adapters/node';
import shopify from '@shopify/shopify-api';
import slack from '@slack/bolt';
import workos from '@workos-inc/node';
import coinbase from 'coinbase-commerce-node';
import discord from 'discord-interactions';
import { jwtVerify, SignJWT } from 'jose';
import OpenAI from 'openai';
import Razorpay from 'razorpay';
import SnsValidator from 'sns-validator';
import square from 'square';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import Stripe from 'stripe';
import { Webhook as SvixWebhook } from 'svix';
import twilio from 'twilio';
import { filler, Numeral, write } from './dice.mjs';
import { ed25519, p256, rsaWithCertificate } from './key.mjs';

globalThis.crypto ??= webcrypto; // Node 18 has it behind a flag, and OpenAI's library wants it
const HOST = 'https://hooks.example.com';
const TOPIC = 'arn:aws:sns:eu-central-1:123456789012:orders';

const mac = (key, text, encoding) => createHmac('sha256', key).update(text).digest(encoding);
const seconds = () => String(Math.floor(Date.now() / 1000));
const now = () => new Date().toISOString();
const wants = (function_, ...args) => function_(...args) !== false;
const json = (id, type, document, more) => ({ id, type, document, ...more });

// Standard Webhooks and those who took it over; only the names of the headers differ.
const standard = (name, library, { prefix = 'webhook-', Signer = StandardWebhook, typeHeader, judge } = {}) => ({
  name,
  library,
  signs: 'Webhook.sign',
  secret: (dice) => `whsec_${dice.bytes(dice.between(24, 64)).toString('base64')}`,
  event(dice) {
    const id = `msg_${dice.word(27)}`;
    const type = typeHeader ? dice.pick(['Push Hook', 'Merge Request Hook']) : dice.pick(['user.created', 'invoice.paid']);
    return json(id, type, typeHeader ? { object_kind: 'push' } : { type }, { headers: [[`${prefix}id`, id], ...(typeHeader ? [[typeHeader, type]] : [])] });
  },
  sign({ secret }, { text, fields }) {
    const at = new Date();
    return [[`${prefix}timestamp`, String(Math.floor(at / 1000))], [`${prefix}signature`, new Signer(secret).sign(fields[`${prefix}id`], at, text)]];
  },
  accepts: judge ?? (({ secret }, { text, fields }) => wants(() => new Signer(secret).verify(text, fields))),
});

const discordEvent = {
  library: 'discord-interactions',
  keys: ed25519,
  // the hexadecimal text of Discord's portal
  needs: (keys) => ({ public_keys: [{ text: hexOf(keys) }] }),
  sign({ keys }, { body }) {
    const time = seconds();
    return [['X-Signature-Ed25519', signBytes(null, Buffer.concat([Buffer.from(time), body]), keys.privateKey).toString('hex')], ['X-Signature-Timestamp', time]];
  },
  accepts: ({ keys }, { body, fields }) => discord.verifyKey(body, fields['x-signature-ed25519'], fields['x-signature-timestamp'], hexOf(keys)),
};
const hexOf = (keys) => keys.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex');

const stripe = new Stripe('sk_test_nothing');
const openai = new OpenAI({ apiKey: 'nothing' });
const paddle = new Paddle('nothing');
const workosClient = new workos.WorkOS('sk_test_nothing');
const adyenMac = new adyen.hmacValidator();
const shop = (apiSecretKey) => shopify.shopifyApi({
  apiKey: 'nothing', apiSecretKey, scopes: ['read_orders'], hostName: 'shop.example', apiVersion: shopify.LATEST_API_VERSION, isEmbeddedApp: false, logger: { level: 0 },
});

// Twilio's functions take decoded parameters, repeated ones as a list.
function parameters(text) {
  const found = {};
  for (const [name, value] of new URLSearchParams(text)) found[name] = name in found ? [found[name], value].flat() : value;
  return found;
}

// The library fetches the certificate by itself; it gets ours.
function withCertificate({ name, certificate }, work) {
  const { get } = https;
  https.get = (url, answer) => {
    if (url !== name) throw new Error(`the library wants ${url}`);
    const response = Object.assign(new PassThrough(), { statusCode: 200 });
    answer(response);
    response.end(certificate);
    return response;
  };
  try {
    return work();
  } finally {
    https.get = get;
  }
}

export const vendors = [
  {
    name: 'github',
    library: '@octokit/webhooks-methods',
    signs: 'sign',
    secret: (dice) => dice.hex(32),
    event: (dice) => {
      const [id, type] = [dice.uuid(), dice.pick(['push', 'pull_request'])];
      return json(id, type, { zen: dice.text() }, { headers: [['X-GitHub-Delivery', id], ['X-GitHub-Event', type]] });
    },
    sign: async ({ secret }, { text }) => [['X-Hub-Signature-256', await octokit.sign(secret, text)]],
    accepts: ({ secret }, { text, fields }) => octokit.verify(secret, text, fields['x-hub-signature-256']),
  },
  {
    name: 'stripe',
    library: 'stripe',
    signs: 'webhooks.generateTestHeaderString',
    secret: (dice) => `whsec_${dice.word(32)}`,
    event: (dice) => {
      const [id, type] = [`evt_${dice.word(24)}`, dice.pick(['invoice.paid', 'charge.refunded'])];
      return json(id, type, { id, object: 'event', type });
    },
    sign: ({ secret }, { text }) => [['Stripe-Signature', stripe.webhooks.generateTestHeaderString({ payload: text, secret })]],
    accepts: ({ secret }, { body, fields }) => wants(() => stripe.webhooks.signature.verifyHeader(body, fields['stripe-signature'], secret, 300)),
  },
  standard('standard-webhooks', 'standardwebhooks'),
  standard('svix', 'svix', { prefix: 'svix-', Signer: SvixWebhook }),
  standard('clerk', 'svix', { prefix: 'svix-', Signer: SvixWebhook }),
  standard('resend', 'svix', { prefix: 'svix-', Signer: SvixWebhook }),
  standard('openai', 'openai', { judge: ({ secret }, { text, fields }) => openai.webhooks.verifySignature(text, fields, secret).then(() => true) }),
  standard('gitlab', 'standardwebhooks', { typeHeader: 'X-Gitlab-Event' }),
  {
    name: 'slack',
    library: '@slack/bolt',
    secret: (dice) => dice.hex(16),
    event: (dice) => {
      const [id, type] = [`Ev${dice.word(10)}`, dice.pick(['app_mention', 'message'])];
      return json(id, type, { type: 'event_callback', event_id: id, event: { type, text: dice.text() } });
    },
    sign({ secret }, { body }) {
      const time = seconds();
      return [['X-Slack-Request-Timestamp', time], ['X-Slack-Signature', `v0=${mac(secret, Buffer.concat([Buffer.from(`v0:${time}:`), body]), 'hex')}`]];
    },
    accepts: ({ secret }, { text, fields }) => slack.isValidSlackRequest({
      signingSecret: secret, body: text, headers: { ...fields, 'x-slack-request-timestamp': Number(fields['x-slack-request-timestamp']) },
    }),
  },
  {
    name: 'shopify',
    library: '@shopify/shopify-api',
    secret: (dice) => `shpss_${dice.hex(16)}`,
    event: (dice) => {
      const [id, type] = [dice.uuid(), dice.pick(['orders/create', 'products/update'])];
      return json(id, type, { id: new Numeral(dice.digits()), total_price: '19.99' }, { headers: [['X-Shopify-Webhook-Id', id], ['X-Shopify-Topic', type]] });
    },
    sign: ({ secret }, { body }) => [['X-Shopify-Hmac-Sha256', mac(secret, body, 'base64')]],
    async accepts({ secret }, { text, fields }) {
      const headers = { 'x-shopify-shop-domain': 'example.myshopify.com', 'x-shopify-api-version': '2024-04', ...fields };
      return (await shop(secret).webhooks.validate({ rawBody: text, rawRequest: { method: 'POST', url: '/shopify', headers }, rawResponse: {} })).valid;
    },
  },
  {
    name: 'twilio',
    library: 'twilio',
    signs: 'getExpectedTwilioSignature',
    media: 'application/x-www-form-urlencoded; charset=utf-8',
    query: '?source=sms&n=1',
    ack: { status: 204, text: '' },
    needs: () => ({ public_url: `${HOST}/twilio?source=sms&n=1` }),
    secret: (dice) => dice.hex(16),
    form: true,
    event: (dice) => {
      const [id, type, token] = [dice.uuid(), dice.pick(['delivered', 'sent']), `SM${dice.hex(16)}`];
      const tags = Array.from({ length: dice.below(4) }, () => ['Tag', dice.pick(['b', 'a', 'a', 'B', 'ä'])]);
      return { id, type, token, headers: [['I-Twilio-Idempotency-Token', id]], pairs: [
        ['MessageSid', token], ['MessageStatus', type], ['From', '+14155550100'], ['Empty', ''], ['Number', dice.digits()], ...tags,
      ] };
    },
    sign: ({ secret }, { text, url }) => [['X-Twilio-Signature', twilio.getExpectedTwilioSignature(secret, url, parameters(text))]],
    accepts: ({ secret }, { text, fields, url }) => twilio.validateRequest(secret, fields['x-twilio-signature'], url, parameters(text)),
  },
  {
    name: 'twilio-json',
    library: 'twilio',
    signs: 'getExpectedTwilioSignature',
    needs: () => ({ public_url: `${HOST}/twilio-json` }),
    secret: (dice) => dice.hex(16),
    event: (dice) => {
      const id = dice.uuid();
      return json(id, 'twilio', { text: dice.text() }, { headers: [['I-Twilio-Idempotency-Token', id]] });
    },
    sign({ secret }, request) {
      request.query = `?bodySHA256=${createHash('sha256').update(request.body).digest('hex')}`;
      return [['X-Twilio-Signature', twilio.getExpectedTwilioSignature(secret, request.url, {})]];
    },
    accepts: ({ secret }, { text, fields, url }) => twilio.validateRequestWithBody(secret, fields['x-twilio-signature'], url, text),
  },
  {
    name: 'linear',
    library: '@linear/sdk',
    secret: (dice) => `lin_wh_${dice.word(40)}`,
    event: (dice) => {
      const [id, type, token] = [dice.uuid(), dice.pick(['Issue', 'Comment']), dice.uuid()]; // a broken body has no time: that is said before
      return json(id, type, { action: 'update', type, webhookTimestamp: Date.now(), data: { id: token, title: dice.text() } }, { headers: [['Linear-Delivery', id]], token });
    },
    sign: ({ secret }, { body }) => [['Linear-Signature', mac(secret, body, 'hex')]],
    accepts: ({ secret }, { body, fields }) => new linear.LinearWebhooks(secret).verify(body, fields['linear-signature']),
  },
  {
    name: 'square',
    library: 'square',
    needs: () => ({ public_url: `${HOST}/square` }),
    secret: (dice) => dice.word(22),
    event: (dice) => {
      const [id, type] = [dice.uuid(), dice.pick(['payment.updated', 'refund.created'])];
      return json(id, type, { merchant_id: dice.word(12), type, event_id: id });
    },
    sign: ({ secret }, { body, url }) => [['x-square-hmacsha256-signature', mac(secret, Buffer.concat([Buffer.from(url), body]), 'base64')]],
    accepts: ({ secret }, { text, fields, url }) => square.WebhooksHelper.isValidWebhookEventSignature(text, fields['x-square-hmacsha256-signature'], secret, url),
  },
  {
    name: 'paddle',
    library: '@paddle/paddle-node-sdk',
    secret: (dice) => `pdl_ntfset_${dice.word(26)}_${dice.word(32)}`,
    event: (dice) => {
      const [id, type] = [`evt_${dice.word(26)}`, dice.pick(['transaction.completed', 'subscription.created'])];
      return json(id, type, { event_id: id, event_type: type, notification_id: `ntf_${dice.word(26)}` });
    },
    sign({ secret }, { body }) {
      const time = seconds();
      return [['Paddle-Signature', `ts=${time};h1=${mac(secret, Buffer.concat([Buffer.from(`${time}:`), body]), 'hex')}`]];
    },
    accepts: ({ secret }, { text, fields }) => paddle.webhooks.isSignatureValid(text, secret, fields['paddle-signature']),
  },
  {
    name: 'adyen-platform',
    library: '@adyen/api-library',
    signs: 'HmacValidator.calculateHmac',
    secret: (dice) => dice.hex(32).toUpperCase(),
    event: (dice) => {
      const [type, item, sequenceNumber, timestamp] = ['balancePlatform.transfer.updated', dice.word(16), dice.below(100), now()];
      return json([type, item, sequenceNumber, timestamp].join(':'), type, { type, timestamp, environment: 'test', data: { id: item, sequenceNumber } });
    },
    sign: ({ secret }, { text }) => [['Protocol', 'HmacSHA256'], ['HmacSignature', adyenMac.calculateHmac(text, secret)]],
    accepts: ({ secret }, { text, fields }) => adyenMac.validateBankingHMAC(fields.hmacsignature, secret, text),
  },
  {
    name: 'adyen',
    library: '@adyen/api-library',
    signs: 'HmacValidator.calculateHmac',
    ack: { status: 200, text: '[accepted]' },
    secret: (dice) => dice.hex(32).toUpperCase(),
    sealed: true,
    several: (items) => ({ live: 'false', notificationItems: items }),
    depth: 2,
    event(dice, { secret, unsigned }) {
      const item = {
        amount: { currency: 'EUR', value: dice.below(1_000_000_000) }, eventCode: dice.pick(['AUTHORISATION', 'REFUND']), eventDate: now(),
        merchantAccountCode: dice.text(12), merchantReference: dice.text(20), originalReference: dice.pick(['', dice.word(16)]),
        pspReference: dice.word(16), reason: dice.text(), success: dice.pick(['true', 'false']),
      };
      item.additionalData = { hmacSignature: unsigned ? '' : adyenMac.calculateHmac(item, secret), note: dice.text() };
      return json([item.pspReference, item.eventCode, item.success].join(':'), item.eventCode, { NotificationRequestItem: dice.shuffled(item) }, { token: item.pspReference });
    },
    sign: () => [],
    // the events of a request that was not signed yet, as they stand in the signed one
    sealedEvents: (events, text) => events.map((event, at) => {
      const { hmacSignature } = JSON.parse(text).notificationItems[at].NotificationRequestItem.additionalData;
      return { ...event, text: event.text.replace(/("hmacSignature": ?)""/, `$1"${hmacSignature}"`) };
    }),
    accepts: ({ secret }, { text }) => JSON.parse(text).notificationItems.every((item) => adyenMac.validateHMAC(item.NotificationRequestItem, secret)),
  },
  {
    name: 'razorpay',
    library: 'razorpay',
    secret: (dice) => dice.word(20),
    event: (dice) => {
      const [id, type] = [`event_${dice.word(14)}`, dice.pick(['payment.captured', 'order.paid'])];
      return json(id, type, { entity: 'event', event: type }, { headers: [['X-Razorpay-Event-Id', id]] });
    },
    sign: ({ secret }, { body }) => [['X-Razorpay-Signature', mac(secret, body, 'hex')]],
    accepts: ({ secret }, { text, fields }) => Razorpay.validateWebhookSignature(text, fields['x-razorpay-signature'], secret),
  },
  {
    name: 'coinbase-commerce',
    library: 'coinbase-commerce-node',
    signs: 'Webhook.computeSignature',
    secret: (dice) => dice.uuid(),
    event: (dice) => {
      const [id, type] = [dice.uuid(), dice.pick(['charge:created', 'charge:confirmed'])];
      return json(id, type, { id: dice.below(1000), attempt_number: 1, event: { id, type } });
    },
    sign: ({ secret }, { text }) => [['X-CC-Webhook-Signature', coinbase.Webhook.computeSignature(text, secret)]],
    accepts: ({ secret }, { text, fields }) => coinbase.Webhook.verifySigHeader(text, fields['x-cc-webhook-signature'], secret),
  },
  {
    name: 'hubspot',
    library: '@hubspot/api-client',
    signs: 'Signature.getSignature',
    needs: () => ({ public_url: `${HOST}/hubspot` }),
    secret: (dice) => dice.uuid(),
    several: (events) => events,
    depth: 1,
    event: (dice) => {
      const numbers = [dice.digits(), dice.digits(), dice.digits(), Date.now()];
      const [subscriptionId, eventId, objectId, occurredAt] = numbers.map((digits) => new Numeral(String(digits)));
      const subscriptionType = dice.pick(['contact.creation', 'deal.propertyChange']);
      return json(numbers.join(':'), subscriptionType, { eventId, subscriptionId, objectId, occurredAt, subscriptionType, attemptNumber: 0 });
    },
    sign({ secret }, { text, url }) {
      const timestamp = Date.now();
      return [['X-HubSpot-Request-Timestamp', String(timestamp)], ['X-HubSpot-Signature-v3', hubspot.Signature.getSignature('POST', 'v3', { clientSecret: secret, requestBody: text, url, timestamp })]];
    },
    accepts: ({ secret }, { text, url, fields }) => hubspot.Signature.isValid({
      method: 'POST', signatureVersion: 'v3', signature: fields['x-hubspot-signature-v3'], clientSecret: secret, requestBody: text, url, timestamp: Number(fields['x-hubspot-request-timestamp']),
    }),
  },
  {
    name: 'line',
    library: '@line/bot-sdk',
    secret: (dice) => dice.hex(16),
    several: (events) => ({ destination: 'U0123456789', events }),
    depth: 2,
    event: (dice) => {
      const [id, type] = [dice.word(26), dice.pick(['message', 'follow'])];
      return json(id, type, { type, webhookEventId: id, mode: 'active', deliveryContext: { isRedelivery: false } });
    },
    sign: ({ secret }, { body }) => [['x-line-signature', mac(secret, body, 'base64')]],
    accepts: ({ secret }, { body, fields }) => line.validateSignature(body, secret, fields['x-line-signature']),
  },
  {
    name: 'workos',
    library: '@workos-inc/node',
    secret: (dice) => dice.word(25),
    event: (dice) => {
      const [id, type] = [`event_${dice.word(26)}`, dice.pick(['user.created', 'dsync.activated'])];
      return json(id, type, { id, event: type, data: { name: dice.text() } });
    },
    sign({ secret }, { body }) {
      const time = Date.now();
      return [['WorkOS-Signature', `t=${time}, v1=${mac(secret, Buffer.concat([Buffer.from(`${time}.`), body]), 'hex')}`]];
    },
    // the library writes the JSON anew before it looks
    judges: (text) => JSON.stringify(JSON.parse(text)) === text,
    accepts: ({ secret }, { text, fields }) => workosClient.webhooks.verifyHeader({ payload: JSON.parse(text), sigHeader: fields['workos-signature'], secret }),
  },
  {
    name: 'contentful',
    library: '@contentful/node-apps-toolkit',
    signs: 'signRequest',
    media: 'application/vnd.contentful.management.v1+json',
    secret: (dice) => dice.word(64),
    event: (dice) => {
      const [id, type] = [dice.hex(32), dice.pick(['ContentManagement.Entry.publish', 'ContentManagement.Asset.save'])];
      return json(id, type, { sys: { type: 'Entry', id: dice.word(22) } }, { headers: [['X-Contentful-Idempotency-Key', id], ['X-Contentful-Topic', type]] });
    },
    sign: ({ secret }, { text, headers }) => Object.entries(contentful.signRequest(secret, { method: 'POST', path: '/contentful', headers: Object.fromEntries(headers), body: text }, Date.now())),
    accepts: ({ secret }, { text, fields }) => contentful.verifyRequest(secret, { method: 'POST', path: '/contentful', headers: fields, body: text }),
  },
  {
    ...discordEvent,
    name: 'discord-events',
    ack: { status: 204, text: '' },
    event: (dice) => {
      const [application, type, timestamp, item] = [dice.digits(), dice.pick(['ENTITLEMENT_CREATE', 'APPLICATION_AUTHORIZED']), '2026-01-01T00:00:00.000000', dice.digits()];
      return json([application, type, timestamp, item].join(':'), type, { version: 1, application_id: application, type: 1, event: { type, timestamp, data: { id: item, note: dice.text() } } });
    },
  },
  {
    ...discordEvent,
    name: 'discord-interactions',
    ack: { status: 200, text: '{"type":5}' },
    event: (dice) => {
      const id = dice.digits();
      return json(id, '2', { version: 1, application_id: dice.digits(), id, type: 2, token: dice.word(20), data: { name: dice.text() } });
    },
  },
  {
    name: 'sendgrid',
    library: '@sendgrid/eventwebhook',
    keys: p256,
    needs: (keys) => ({ public_keys: [{ text: keys.publicKey.export({ type: 'spki', format: 'der' }).toString('base64') }] }),
    several: (events) => events,
    depth: 1,
    event: (dice) => {
      const [id, type] = [dice.word(22), dice.pick(['delivered', 'open', 'bounce'])];
      return json(id, type, { sg_event_id: id, event: type, email: 'someone@example.com' });
    },
    sign({ keys }, { body }) {
      const time = seconds();
      return [['X-Twilio-Email-Event-Webhook-Timestamp', time], ['X-Twilio-Email-Event-Webhook-Signature', createSign('SHA256').update(time).update(body).sign(keys.privateKey, 'base64')]];
    },
    accepts({ keys }, { body, fields }) {
      const judge = new sendgrid.EventWebhook();
      const key = judge.convertPublicKeyToECDSA(keys.publicKey.export({ type: 'spki', format: 'pem' }));
      return judge.verifySignature(key, body, fields['x-twilio-email-event-webhook-signature'], fields['x-twilio-email-event-webhook-timestamp']);
    },
  },
  {
    name: 'plaid',
    library: 'jose',
    signs: 'SignJWT',
    keys: () => ({ ...p256(), name: 'key-of-this-run' }),
    generated: true,
    needs: () => ({ jwks: { file: 'jwks.json' }, event_id: 'generated' }),
    files: ({ publicKey, name }) => ({ 'jwks.json': JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: name, alg: 'ES256', use: 'sig' }] }) }),
    event: (dice) => {
      const code = dice.pick(['SYNC_UPDATES_AVAILABLE', 'DEFAULT_UPDATE']);
      return json(null, `TRANSACTIONS:${code}`, { webhook_type: 'TRANSACTIONS', webhook_code: code, item_id: dice.word(37) });
    },
    async sign({ keys }, { body }) {
      const token = new SignJWT({ request_body_sha256: createHash('sha256').update(body).digest('hex') });
      return [['Plaid-Verification', await token.setProtectedHeader({ alg: 'ES256', kid: keys.name, typ: 'JWT' }).setIssuedAt().sign(keys.privateKey)]];
    },
    async accepts({ keys }, { body, fields }) {
      const { payload, protectedHeader } = await jwtVerify(fields['plaid-verification'], createPublicKey(keys.pem), { algorithms: ['ES256'], maxTokenAge: '5 min' });
      return protectedHeader.kid === keys.name && payload.request_body_sha256 === createHash('sha256').update(body).digest('hex');
    },
  },
  {
    name: 'aws-sns',
    library: 'sns-validator',
    media: 'text/plain; charset=UTF-8',
    // each pair has an address of its own: the library never forgets a certificate
    keys: async () => ({ ...(await rsaWithCertificate('sns.amazonaws.com')), name: `https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-${randomUUID()}.pem` }),
    needs: ({ name }) => ({ topic_arns: [TOPIC], certificates: [{ file: 'sns.pem', url: name }] }),
    files: ({ certificate }) => ({ 'sns.pem': certificate }),
    sealed: true,
    event(dice, { keys, unsigned }) {
      const message = {
        Type: 'Notification', MessageId: dice.uuid(), TopicArn: TOPIC, Message: JSON.stringify({ order: dice.digits(), note: `${dice.text()}\r\n` }),
        Timestamp: now(), SignatureVersion: dice.pick(['1', '2']), SigningCertURL: keys.name, UnsubscribeURL: 'https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe',
        ...(dice.below(2) ? { Subject: dice.text() } : {}),
      };
      const names = ['Message', 'MessageId', ...(message.Subject === undefined ? [] : ['Subject']), 'Timestamp', 'TopicArn', 'Type'];
      const text = names.map((name) => `${name}\n${message[name]}\n`).join('');
      message.Signature = unsigned ? 'none'.repeat(86) : createSign(message.SignatureVersion === '1' ? 'RSA-SHA1' : 'RSA-SHA256').update(text).sign(keys.pem, 'base64');
      return json(message.MessageId, 'Notification', message, { token: message.MessageId, headers: [['x-amz-sns-message-type', 'Notification']] });
    },
    sign: () => [],
    accepts: ({ keys }, { text }) => new Promise((resolve, reject) => {
      withCertificate(keys, () => new SnsValidator().validate(text, (error) => (error ? reject(error) : resolve(true))));
    }),
  },
];

// A form that says the same as a document would.
function formBody(pairs, dice, style) {
  const more = style.size ? [] : Object.entries(filler(dice, style)).filter(([, value]) => typeof value === 'string').map(([name, value]) => [name, `${value}\r\n`]);
  const form = String(new URLSearchParams(dice.shuffle([...pairs, ...more])));
  return style.size ? `${form}&Padding=`.padEnd(style.size, 'x') : form;
}

export class Request {
  #vendor;
  query;

  constructor(vendor, { text, events = [], headers = [], query = vendor.query ?? '' }) {
    this.#vendor = vendor;
    this.body = Buffer.from(text);
    this.events = events;
    this.headers = [['Content-Type', vendor.media ?? 'application/json'], ...headers];
    this.query = query;
  }

  get text() {
    return this.body.toString();
  }

  // Headers by their names in lower case, as libraries want them.
  get fields() {
    return Object.fromEntries(this.headers.map(([name, value]) => [name.toLowerCase(), value]));
  }

  get target() {
    return `/${this.#vendor.name}${this.query}`;
  }

  get url() {
    return HOST + this.target;
  }

  // Not signed yet, unless the signature is in the body.
  static compose(vendor, events, dice, style) {
    const headers = events[0].headers ?? [];
    if (vendor.form) return new Request(vendor, { text: formBody(events[0].pairs, dice, style), events, headers });
    const documents = events.map((event) => dice.shuffled({ ...event.document, ...filler(dice, style) }));
    const text = () => write(vendor.several ? vendor.several(documents) : documents[0], style) + (style.end ?? '');
    if (style.size) {
      documents[0].padding = '';
      documents[0].padding = 'x'.repeat(style.size - Buffer.byteLength(text()));
    }
    return new Request(vendor, { text: text(), headers, events: events.map((event, at) => ({ ...event, text: write(documents[at], style, vendor.depth) })) });
  }

  async sign(context) {
    this.headers.push(...(await this.#vendor.sign(context, this)));
    return this;
  }

  // The same headers over a body of which one bit is another: anywhere, or in text that surely is signed.
  altered(dice) {
    const other = new Request(this.#vendor, { text: '', events: this.events });
    const { token } = this.events[0];
    if (token && !this.body.includes(token)) throw new Error(`no ${token} in the body`);
    const [first, length] = token ? [this.body.indexOf(token), token.length] : [0, this.body.length];
    other.headers = this.headers;
    other.query = this.query;
    other.body = Buffer.from(this.body);
    other.body[first + dice.below(length)] ^= 1;
    return other;
  }

  // The library's verdict; an exception is a refusal, and told in `reason`.
  async accepted(context) {
    try {
      this.reason = 'the library said no';
      return (await this.#vendor.accepts(context, this)) === true;
    } catch (error) {
      this.reason = error.message;
      return false;
    }
  }
}
