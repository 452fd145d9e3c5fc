// How each provider signs, written down a second time and independently of the product: a scheme is data, `signedRequest` applies it.
// The providers' own libraries are used beside this in github, stripe and standard.test.mjs; this one can also sign wrongly.
import { createHmac, randomUUID } from 'node:crypto';

// Every secret and every body that a test makes has a canary inside; the teardown looks for them in all that was logged.
export const SECRET_CANARY = 'Canary5ecretThatNobodyLogs';
export const BODY_CANARY = 'CanaryB0dyThatNobodyLogs';

export const secret = (name) => `${name}-${SECRET_CANARY}`;
export const standardSecret = (name) => `whsec_${Buffer.from(`${name}-${SECRET_CANARY}`.padEnd(32, '.')).toString('base64')}`;

// Sources as a configuration has them; an entry { text } of `secrets` becomes a file when the service is configured.
export const github = { path: '/github', provider: 'github', secrets: [{ text: secret('github') }] };
export const stripe = { path: '/stripe', provider: 'stripe', secrets: [{ text: `whsec_${secret('stripe')}` }] };
export const standard = { path: '/standard', provider: 'standard-webhooks', secrets: [{ text: standardSecret('standard') }] };
export const billing = {
  path: '/billing',
  provider: 'hmac',
  signature: { header: 'X-Billing-Signature', algorithm: 'sha256', encoding: 'hex', prefix: 'sha256=', signed: '{timestamp}.{body}' },
  timestamp: { header: 'X-Billing-Timestamp', unit: 'seconds' },
  event_id: { header: 'X-Billing-Id' },
  event_type: { json: '/type' },
  secrets: [{ text: secret('billing') }],
};
// The simplest one: signature over the body, id and type inside it.
export const plain = {
  path: '/plain',
  provider: 'hmac',
  signature: { header: 'X-Signature', algorithm: 'sha256', encoding: 'hex', signed: '{body}' },
  event_id: { json: '/id' },
  event_type: { json: '/type' },
  secrets: [{ text: secret('plain') }],
};

const presets = {
  github: {
    signature: { header: 'X-Hub-Signature-256', encoding: 'hex', prefix: 'sha256=', signed: '{body}' },
    event_id: { header: 'X-GitHub-Delivery' },
    event_type: { header: 'X-GitHub-Event' },
  },
  stripe: {
    signature: { header: 'Stripe-Signature', encoding: 'hex', prefix: 'v1=', timestamp_prefix: 't=', signed: '{timestamp}.{body}' },
    event_id: { json: '/id' },
    event_type: { json: '/type' },
  },
  'standard-webhooks': {
    signature: { header: 'webhook-signature', encoding: 'base64', prefix: 'v1,', signed: '{id}.{timestamp}.{body}', key: 'base64_after_whsec' },
    timestamp: { header: 'webhook-timestamp' },
    event_id: { header: 'webhook-id' },
    event_type: { json: '/type' },
  },
};

export function schemeOf(source) {
  return source.provider === 'hmac' ? source : { ...presets[source.provider], ...source };
}

export const signatureHeader = (source) => schemeOf(source).signature.header;

function keyBytes(scheme, text) {
  if (scheme.signature.key === 'base64_after_whsec') return Buffer.from(text.replace(/^whsec_/, ''), 'base64');
  return Buffer.from(text);
}

// The bytes that are signed: the template with its words filled in.
function signedBytes(scheme, values) {
  const parts = [];
  for (const piece of scheme.signature.signed.split(/(\{[a-z_]+\})/)) {
    if (piece === '') continue;
    parts.push(/^\{[a-z_]+\}$/.test(piece) ? Buffer.from(values[piece.slice(1, -1)]) : Buffer.from(piece));
  }
  return Buffer.concat(parts);
}

export function signature(source, { id, body, timestamp, secret: text = source.secrets[0].text, url = source.public_url }) {
  const scheme = schemeOf(source);
  const { algorithm = 'sha256', encoding } = scheme.signature;
  const bytes = signedBytes(scheme, { id: id ?? '', body, timestamp: String(timestamp), url: url ?? '', method: 'POST', path: source.path });
  return createHmac(algorithm, keyBytes(scheme, text)).update(bytes).digest(encoding);
}

function put(document, pointer, value) {
  const keys = pointer.slice(1).split('/');
  let place = document;
  for (const key of keys.slice(0, -1)) place = place[key] ??= {};
  if (place[keys.at(-1)] === undefined) place[keys.at(-1)] = value;
}

// A body with the id and the type where the scheme looks for them.
function bodyFor(scheme, { id, type, body }) {
  if (Buffer.isBuffer(body)) return body;
  if (typeof body === 'string') return Buffer.from(body);
  const document = { note: BODY_CANARY, ...body };
  if (scheme.event_id?.json) put(document, scheme.event_id.json, id);
  if (scheme.event_type?.json && type !== undefined) put(document, scheme.event_type.json, type);
  return Buffer.from(JSON.stringify(document));
}

export const seconds = () => Math.floor(Date.now() / 1000);

// What the provider would send: { headers: [[name, value], …], body, id }. Each part can be given, or left out with null.
export function signedRequest(source, { id = randomUUID(), type = 'push', body, timestamp = seconds(), secret: text, signed = {} } = {}) {
  const scheme = schemeOf(source);
  const bytes = bodyFor(scheme, { id, type, body });
  const headers = [['Content-Type', 'application/json']];
  if (scheme.event_id?.header && id !== null) headers.push([scheme.event_id.header, id]);
  if (scheme.event_type?.header && type !== null) headers.push([scheme.event_type.header, type]);
  if (scheme.timestamp?.header && timestamp !== null) headers.push([scheme.timestamp.header, String(timestamp)]);
  const value = signature(source, { id, body: bytes, timestamp, ...(text ? { secret: text } : {}), ...signed });
  const stamp = scheme.signature.timestamp_prefix && timestamp !== null ? `${scheme.signature.timestamp_prefix}${timestamp},` : '';
  headers.push([scheme.signature.header, `${stamp}${scheme.signature.prefix ?? ''}${value}`]);
  return { headers, body: bytes, id };
}

// Headers with some replaced (a text), repeated (a list) or taken away (null), found whatever their case.
export function withHeaders(headers, changes = {}) {
  let result = headers;
  for (const [name, value] of Object.entries(changes)) {
    const same = ([other]) => other.toLowerCase() === name.toLowerCase();
    const values = value === null ? [] : Array.isArray(value) ? value : [value];
    const at = result.findIndex(same);
    const rest = result.filter((header) => !same(header));
    rest.splice(at < 0 ? rest.length : at, 0, ...values.map((one) => [name, one]));
    result = rest;
  }
  return result;
}
