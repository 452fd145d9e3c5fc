// How every provider signs, written from its parameters (tests/vectors/parameters.json) and knowing nothing of the product.
// A Letter is one request of a provider before it is signed: what it holds can be changed, and signed again or not.
import { createHash, createHmac, createSign, generateKeyPairSync, sign as signWith } from 'node:crypto';
import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { elements, place, textAt, withBytes } from './element.mjs';
import { bodyOf, providers } from './vector.mjs';

const run = promisify(execFile);
const sameName = (a, b) => a.toLowerCase() === b.toLowerCase();

// ---- keys

const KEY_SIZE = 32;

// The secret's text as the provider shows it, made from a word.
export function secretText({ key_decoding: decoding }, word) {
  const bytes = createHash('sha256').update(`Canary5ecretThatNobodyLogs ${word}`).digest();
  if (decoding === 'base64_after_whsec') return `whsec_${bytes.toString('base64')}`;
  if (decoding === 'hex') return bytes.toString('hex').toUpperCase();
  if (decoding === 'base64(user:password) is compared') return `user:${bytes.toString('base64url')}`;
  return bytes.toString('base64url').slice(0, KEY_SIZE);
}

export function keyBytes({ key_decoding: decoding }, text) {
  if (decoding === 'base64_after_whsec') return Buffer.from(text.replace(/^whsec_/, ''), 'base64');
  if (decoding === 'hex') return Buffer.from(text, 'hex');
  return Buffer.from(text);
}

const raw = (key) => key.export({ format: 'der', type: 'spki' }).subarray(-KEY_SIZE);

async function selfSigned(name) {
  const file = path.join(os.tmpdir(), `hooklatch-${process.pid}-${name}.key`);
  const { stdout: pem } = await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', `/CN=${name}`, '-keyout', file]);
  const key = await readFile(file, 'utf8');
  await rm(file);
  return { key, pem };
}

// What signs, and what the source of the configuration has to know of it: { key, settings } (settings as a vector has them).
export async function makeKey(row, word) {
  const { name, scheme, algorithm } = row;
  if (algorithm === 'ed25519') {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const text = row.key_decoding === 'hex' ? raw(publicKey).toString('hex') : `whpk_${raw(publicKey).toString('base64')}`;
    return { key: privateKey, settings: { public_keys: [text] } };
  }
  if (algorithm === 'ecdsa-p256-sha256') {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return { key: privateKey, settings: { public_keys: [publicKey.export({ format: 'der', type: 'spki' }).toString('base64')] } };
  }
  if (algorithm === 'jwt-es256') {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return { key: privateKey, kid: word, settings: { jwks: [{ ...publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: word }] } };
  }
  if (scheme === 'rsa') {
    const { key, pem } = await selfSigned(`${name}-${word}`);
    return { key, settings: { certificates: { [certificateUrl[name]]: pem } } };
  }
  const text = secretText(row, `${name} ${word}`);
  return { key: text, settings: { secrets: [text] } };
}

const certificateUrl = {
  paypal: 'https://api.paypal.com/v1/notifications/certs/CERT-test',
  'aws-sns': 'https://sns.us-east-1.amazonaws.com/SimpleNotificationService-test.pem',
};

// ISO 3309, as zlib's.
function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return (sum ^ 0xffffffff) >>> 0;
}

// ---- letters

export class Letter {
  constructor(row, fields) {
    Object.assign(this, { row, method: 'POST' }, fields);
  }

  // A request as the provider sends it, from the provider's first accepted vector.
  static of(row, keys) {
    const { vectors } = providers.find(({ name }) => name === row.name);
    const { request, config = {} } = vectors.find(({ result }) => result === 'accepted');
    const letter = new Letter(row, { target: request.path, headers: request.headers, body: bodyOf(request), url: config.url, webhookId: config.webhook_id, keys });
    letter.config = config;
    return row.name === 'paypal' ? letter.withHeader('PAYPAL-CERT-URL', certificateUrl.paypal)
      : row.name === 'aws-sns' ? letter.withBody(withBytes(letter.body, '/SigningCertURL', JSON.stringify(certificateUrl['aws-sns'])))
        : letter;
  }

  with(fields) {
    return new Letter(this.row, { ...this, ...fields });
  }

  withBody(body) {
    return this.with({ body: Buffer.from(body) });
  }

  header(name) {
    return this.headers.find(([other]) => sameName(other, name))?.[1];
  }

  // null takes it away, a list repeats it.
  withHeader(name, value) {
    const values = value === null ? [] : Array.isArray(value) ? value : [value];
    const at = this.headers.findIndex(([other]) => sameName(other, name));
    const headers = this.headers.filter(([other]) => !sameName(other, name));
    headers.splice(at < 0 ? headers.length : at, 0, ...values.map((one) => [name, one]));
    return this.with({ headers });
  }

  renamed(name, other) {
    return this.with({ headers: this.headers.map(([one, value]) => [sameName(one, name) ? other : one, value]) });
  }

  get signatureHeader() {
    return this.row.signature_header?.replace('-*', '-1');
  }

  timeText(at) {
    const { unit } = this.row.timestamp;
    return unit === 'ms' ? String(at) : unit === 'rfc3339' ? new Date(at).toISOString() : String(Math.floor(at / 1000));
  }

  // The letter with this time in it, where the provider has one.
  dated(at) {
    const { from, name, pointer } = this.row.timestamp;
    const letter = this.with({ at, time: this.timeText(at) });
    if (from === 'header') return letter.withHeader(name, letter.time);
    if (from !== 'json') return letter;
    const quoted = this.body[place(this.body, pointer)[0]] === 0x22;
    return letter.withBody(withBytes(this.body, pointer, quoted ? JSON.stringify(letter.time) : letter.time));
  }

  // ---- signing

  #word(text) {
    const [word, argument] = /^\{([a-z_0-9]+):?(.*)\}$/.exec(text).slice(1);
    switch (word) {
      case 'timestamp': return this.time;
      case 'body': return this.body;
      case 'id': return this.header(this.row.event_id.name) ?? '';
      case 'method': return this.method;
      case 'path': return this.target;
      case 'url': return this.url;
      case 'json': return textAt(this.body, argument);
      case 'header': return this.header(argument) ?? '';
      case 'config': return this.webhookId;
      case 'crc32_decimal': return String(crc32(this.body));
      case 'sorted_form_params': return [...new URLSearchParams(this.body.toString())].sort(([a], [b]) => (a < b ? -1 : 1)).flat().join('');
      case 'signed_headers': return this.header(argument).split(',').map((name) => `${name.toLowerCase()}:${this.header(name) ?? ''}`).join(';');
      default: throw new Error(`no such word: ${text}`);
    }
  }

  message(template = this.row.signed_template) {
    return Buffer.concat(template.split(/(\{[a-z_0-9]+(?::[^}]*)?\})/).map((part) => Buffer.from(/^\{/.test(part) ? this.#word(part) : part)));
  }

  // The signature's bytes over the template. `hash` and `key` may be others than the provider's.
  signature({ key = this.keys.key, hash, message = this.message() } = {}) {
    const { algorithm } = this.row;
    if (algorithm === 'ed25519') return signWith(null, message, key);
    if (algorithm === 'ecdsa-p256-sha256' || algorithm === 'rsa-pkcs1-sha256') return createSign('sha256').update(message).sign(key);
    return createHmac(hash ?? algorithm, typeof key === 'string' ? keyBytes(this.row, key) : key).update(message).digest();
  }

  // As the header has it, with what stands before and beside it.
  wrapped(signature, { prefix = this.row.parse.prefix ?? '', encoding = this.row.encoding, times = [this.time] } = {}) {
    const { separator, joined_with: joint = separator, timestamp_prefix: before } = this.row.parse;
    const text = `${prefix}${typeof signature === 'string' ? signature : signature.toString(encoding)}`;
    return [...(before ? times.map((time) => `${before}${time}`) : []), text].join(joint ?? '');
  }

  // The whole letter, signed. Options: `key` (another one), `hash`, and those of wrapped().
  signed(options = {}) {
    const { name, scheme, parse, algorithm } = this.row;
    const key = options.key ?? this.keys.key;
    if (name === 'adyen') return this.#signedItems(key);
    if (name === 'aws-sns') return this.#signedNotification(key);
    if (name === 'twilio-json') return this.#signedQuery(key, options);
    if (algorithm === 'jwt-es256') return this.withHeader(this.signatureHeader, jwt(this, { ...options, key }));
    if (scheme === 'token') return this.withHeader(this.signatureHeader, `${options.prefix ?? parse.prefix}${tokenText(this.row, key)}`);
    const text = this.wrapped(this.signature({ ...options, key }), options);
    return parse.from === 'json' ? this.withBody(withBytes(this.body, this.row.signature_header, JSON.stringify(text))) : this.withHeader(this.signatureHeader, text);
  }

  #signedItems(key) {
    const { array } = this.row.multi_event;
    let { body } = this;
    elements(body, array).forEach((item, index) => {
      const value = (pointer) => textAt(item, `/NotificationRequestItem/${pointer}`) ?? '';
      const text = ['pspReference', 'originalReference', 'merchantAccountCode', 'merchantReference', 'amount/value', 'amount/currency', 'eventCode', 'success'].map(value).join(':');
      const made = createHmac('sha256', Buffer.from(key, 'hex')).update(text).digest('base64');
      body = withBytes(body, `${array}/${index}${this.row.parse.pointer}`, JSON.stringify(made));
    });
    return this.withBody(body);
  }

  #signedNotification(key) {
    const names = textAt(this.body, '/Type') === 'Notification'
      ? ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type']
      : ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'];
    const text = names.filter((name) => place(this.body, `/${name}`)).map((name) => `${name}\n${textAt(this.body, `/${name}`)}\n`).join('');
    const version = textAt(this.body, '/SignatureVersion');
    const made = createSign(version === '1' ? 'sha1' : 'sha256').update(text).sign(key, 'base64');
    return this.withBody(withBytes(this.body, '/Signature', JSON.stringify(made)));
  }

  #signedQuery(key, options) {
    const target = `${this.target.split('?')[0]}?bodySHA256=${createHash('sha256').update(this.body).digest('hex')}`;
    const url = this.url + target.slice(target.indexOf('?'));
    const made = createHmac(options.hash ?? 'sha1', key).update(url).digest();
    return this.with({ target }).withHeader(this.signatureHeader, this.wrapped(made, options));
  }
}

function tokenText({ name }, key) {
  return name === 'postmark' ? Buffer.from(key).toString('base64') : key;
}

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export function jwt(letter, { key, kid = letter.keys.kid, alg = 'ES256', claims = {}, sign } = {}) {
  const head = `${part({ alg, kid, typ: 'JWT' })}.${part({ request_body_sha256: createHash('sha256').update(letter.body).digest('hex'), iat: Math.floor(letter.at / 1000), ...claims })}`;
  const made = sign ? sign(head) : createSign('sha256').update(head).sign({ key, dsaEncoding: 'ieee-p1363' });
  return `${head}.${made.toString('base64url')}`;
}
