// What must not get in: every preset's genuine request, changed in every way that matters, is refused with its own word and nothing is
// stored; and the few changes that mean nothing are taken. Signed by provider.mjs, which knows the parameters and not the product.
import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { score } from '../faults/matrix.mjs';
import { Clock } from './clock.mjs';
import { place, textAt, withBytes } from './element.mjs';
import { prepare, spread, STATUS } from './hook.mjs';
import { jwt, keyBytes, Letter, makeKey } from './provider.mjs';
import { bodyOf, parameters, providers, sourceOf, warnedOnly } from './vector.mjs';

const NOW = Math.floor(Date.now() / 1000) * 1000; // the clock stands there
const MISSING = 'signature_missing';
const MALFORMED = 'signature_malformed';
const MISMATCH = 'signature_mismatch';
const NO_TIME = 'timestamp_missing';
const NO_ID = 'malformed';
const DECODED = [MALFORMED, MISMATCH]; // where only the algorithm knows how long a signature is

const isToken = ({ scheme }) => scheme === 'token';
const isMac = ({ scheme, name }) => scheme === 'hmac' || name === 'twilio-json';
const isOfKnownLength = (row) => isMac(row) || row.algorithm === 'ed25519';
const inHeader = ({ parse }) => parse.from === 'header';
const signsId = ({ signed_template: template = '' }) => template.includes('{id}');
const later = (letter, ms) => letter.dated(NOW + ms).signed();

// A header in other letters: x-Hub-SIGNATURE.
const recased = (name) => name.split('-').map((word, index) => (index % 2 ? word.toUpperCase() : word.toLowerCase().replace(/.$/, (last) => last.toUpperCase()))).join('-');

// Each function yields [what, letter, the words that are right]; no words: it must be accepted.

function* signatureHeader(row, good, other) {
  if (!inHeader(row)) return;
  const name = good.signatureHeader;
  const value = good.header(name);
  const prefix = row.parse.prefix ?? '';
  const cut = (count) => value.slice(0, -count - (/=*$/.exec(value)[0].length));
  yield ['signature removed', good.withHeader(name, null), MISSING];
  yield ['signature empty', good.withHeader(name, ''), MISSING];
  yield ['signature of spaces', good.withHeader(name, '  \t '), MISSING];
  yield ['signature header in other letters', good.renamed(name, recased(name))];
  if (!row.signature_header.endsWith('*')) {
    yield ['signature doubled', good.withHeader(name, [value, value]), MALFORMED];
    yield ['a second, empty signature', good.withHeader(name, [value, '']), MALFORMED];
    yield ['another signature before it', good.withHeader(name, [other.header(name), value]), MALFORMED];
  }
  const short = isToken(row) ? MISMATCH : isOfKnownLength(row) || row.algorithm === 'jwt-es256' ? MALFORMED : DECODED;
  for (const count of [1, 2, 8]) yield [`signature less ${count} characters`, good.withHeader(name, cut(count)), short];
  if (!isToken(row)) {
    yield ['half a signature', good.withHeader(name, value.slice(0, value.length / 2)), short];
    const theirs = other.header(name);
    for (const part of [1 / 4, 1 / 2, 3 / 4]) {
      const at = value.length - Math.round((1 - part) * hexOf(value, prefix).length);
      yield [`${part} of the signature right`, good.withHeader(name, value.slice(0, at) + theirs.slice(at)), isOfKnownLength(row) ? MISMATCH : DECODED];
    }
    yield ['signature of other characters', good.withHeader(name, `${prefix}!!`), MALFORMED];
    yield ['a signature and more', good.withHeader(name, `${value}00`), short];
  }
  if (row.encoding === 'hex') yield ['signature in upper case', good.withHeader(name, good.wrapped(hexOf(value, prefix).toUpperCase()))];
}

// The signature's own characters: behind its prefix, or all of it.
const hexOf = (value, prefix) => (prefix ? value.slice(value.lastIndexOf(prefix) + prefix.length) : value);
const ANOTHER_PREFIX = { 'sha256=': ['sha1=', 'sha512=', 'md5='], 'sha1=': ['sha256='], 'v1=': ['v0=', 'v2='], 'v0=': ['v1='], 'v1,': ['v1a,', 'v2,'], 'v1a,': ['v1,'], 'h1=': ['h2='], 'signature=': ['signature2='], 'Basic ': ['Bearer '], 'Bearer ': ['Basic '] };

function* anotherPrefix(row, good) {
  const { prefix } = row.parse;
  if (!prefix) return;
  assert.ok(ANOTHER_PREFIX[prefix], `what is another prefix than ${prefix}?`);
  const name = good.signatureHeader;
  const bare = good.header(name).replace(prefix, '');
  for (const wrong of ANOTHER_PREFIX[prefix]) yield [`prefix ${wrong}`, good.withHeader(name, good.header(name).replace(prefix, wrong)), MALFORMED];
  yield ['no prefix', good.withHeader(name, bare), MALFORMED];
  yield ['the prefix alone', good.withHeader(name, isToken(row) ? prefix.trim() : good.wrapped('')), MALFORMED];
}

// The right key and text, but another hash, encoding, key decoding or template.
function* anotherScheme(row, letter, keys) {
  if (!isMac(row)) return;
  const longer = row.algorithm === 'sha256' ? ['sha1', 'sha512'] : ['sha256', 'md5'];
  for (const hash of longer) yield [`signed with ${hash}`, letter.signed({ hash }), MALFORMED];
  if (row.algorithm === 'sha256') yield ['signed with sha3-256', letter.signed({ hash: 'sha3-256' }), MISMATCH];
  yield ['in another encoding', letter.signed({ encoding: row.encoding === 'hex' ? 'base64' : 'hex' }), MALFORMED];
  yield ['signed with no secret', letter.signed({ key: '' }), MISMATCH];
  const decoded = keyBytes(row, keys.key);
  for (const [how, key] of [['raw', Buffer.from(keys.key)], ['base64', Buffer.from(keys.key, 'base64')], ['base64 after its beginning', Buffer.from(keys.key.replace(/^[a-z]+_/, ''), 'base64')], ['hex', Buffer.from(keys.key, 'hex')]]) {
    if (!key.equals(decoded)) yield [`key taken as ${how}`, letter.signed({ key }), MISMATCH];
  }
  if (row.name === 'twilio-json') return;
  const template = row.signed_template;
  for (const [how, changed] of [['another version', `v9:${template}`], ['the body alone', '{body}'], ['the body twice', `${template}{body}`], ['without the body', template.replace('{body}', '')], ['a newline after it', `${template}\n`]]) {
    if (changed !== template) yield [`signed is ${how}`, resigned(letter, { message: letter.message(changed) }), MISMATCH];
  }
  if (template.includes('{timestamp}')) {
    yield ['signed without the time', resigned(letter, { message: letter.message(template.replace('{timestamp}', '')) }), MISMATCH];
  }
}

function resigned(letter, options) {
  const text = letter.wrapped(letter.signature(options));
  const { row } = letter;
  return row.parse.from === 'json' ? letter.withBody(withBytes(letter.body, row.signature_header, JSON.stringify(text))) : letter.withHeader(letter.signatureHeader, text);
}

function* anotherKey(row, letter, other) {
  yield ['another secret', letter.signed({ key: other.key, kid: letter.keys.kid }), MISMATCH];
  const name = letter.signatureHeader;
  if (row.algorithm === 'ed25519') yield ['a signature of zeros', letter.withHeader(name, letter.wrapped(Buffer.alloc(64))), MISMATCH];
  if (row.algorithm === 'ecdsa-p256-sha256') {
    yield ['r and s are zero', letter.withHeader(name, Buffer.from('3006020100020100', 'hex').toString('base64')), DECODED];
    yield ['r and s as two numbers, not DER', letter.withHeader(name, Buffer.alloc(64, 1).toString('base64')), DECODED];
  }
  if (isToken(row)) {
    const prefix = row.parse.prefix;
    const token = letter.signed().header(name).slice(prefix.length);
    yield ['token and more', letter.withHeader(name, `${prefix}${token}x`), MISMATCH];
    yield ['token twice', letter.withHeader(name, `${prefix}${token},${token}`), MISMATCH];
    yield ['token in other letters', letter.withHeader(name, `${prefix}${token.toUpperCase() === token ? token.toLowerCase() : token.toUpperCase()}`), MISMATCH];
    for (let place = 0; place < 10; place++) {
      const bytes = Buffer.from(token);
      bytes[place * 3] ^= 1;
      yield [`token with bit ${place * 24} turned`, letter.withHeader(name, `${prefix}${bytes.toString('latin1')}`), MISMATCH];
    }
  }
  if (row.algorithm === 'jwt-es256') yield* tokens(letter, other);
}

function* tokens(letter, other) {
  const { key, settings } = letter.keys;
  const token = (options) => letter.withHeader(letter.signatureHeader, jwt(letter, { key, ...options }));
  const mac = (secret) => (text) => createHmac('sha256', secret).update(text).digest();
  yield ['JWT with alg none', token({ alg: 'none', sign: () => Buffer.alloc(0) }), MALFORMED];
  yield ['JWT with alg none and a signature', token({ alg: 'none' }), MALFORMED];
  yield ['JWT with HS256 over the public key', token({ alg: 'HS256', sign: mac(JSON.stringify(settings.jwks[0])) }), MALFORMED];
  yield ['JWT with ES384', token({ alg: 'ES384' }), MALFORMED];
  yield ['JWT with alg in other letters', token({ alg: 'es256' }), MALFORMED];
  yield ['JWT of zeros', token({ sign: () => Buffer.alloc(64) }), MISMATCH];
  yield ['JWT with an unknown kid', token({ kid: 'nobody' }), MISMATCH];
  yield ['JWT with no kid', token({ kid: null }), MALFORMED];
  yield ['JWT of another key with our kid', token({ key: other.key }), MISMATCH];
  yield ['JWT without the hash of the body', token({ claims: { request_body_sha256: undefined } }), MISMATCH];
  yield ['JWT with the hash of another body', token({ claims: { request_body_sha256: createHash('sha256').update('').digest('hex') } }), MISMATCH];
  yield ['JWT without a time', token({ claims: { iat: undefined } }), NO_TIME];
}

function* time(row, letter, good, other) {
  const { from, name, pointer, unit, tolerance_s: tolerance } = row.timestamp;
  if (!['header', 'signature', 'json', 'jwt'].includes(from)) return;
  if (tolerance) {
    for (const [how, ms] of [['as old as is good', -tolerance * 1000], ['as far ahead as is good', tolerance * 1000]]) yield [how, later(letter, ms)];
    for (const over of [1000, 3_600_000, ...(unit === 's' || from === 'jwt' ? [] : [1])]) {
      yield [`older than is good by ${over} ms`, later(letter, -tolerance * 1000 - over), 'timestamp_too_old'];
      yield [`further ahead than is good by ${over} ms`, later(letter, tolerance * 1000 + over), 'timestamp_in_future'];
    }
    yield ['old, and of another secret', letter.dated(NOW - tolerance * 1000 - 1000).signed({ key: other.key, kid: letter.keys.kid }), MISMATCH];
  }
  if (from === 'header' && !tolerance) { // its age says nothing; it is only part of what is signed
    for (const value of [null, '', 'yesterday', [good.time, good.time]]) yield [`time is ${value}`, good.withHeader(name, value), MISMATCH];
    yield ['time header in other letters', good.renamed(name, recased(name))];
    yield ['time of long ago', later(letter, -1e11)];
  } else if (from === 'header') {
    const value = good.header(name);
    yield ['time removed', good.withHeader(name, null), NO_TIME];
    yield ['time empty', good.withHeader(name, ''), NO_TIME];
    yield ['time doubled', good.withHeader(name, [value, value]), NO_TIME];
    yield ['another time beside it', good.withHeader(name, [letter.timeText(NOW + 1000), value]), NO_TIME];
    yield ['time header in other letters', good.renamed(name, recased(name))];
    yield ['another time', good.withHeader(name, letter.timeText(NOW - 1000)), MISMATCH];
    yield ['time removed, signature malformed', good.withHeader(name, null).withHeader(good.signatureHeader, '!!'), MALFORMED];
    yield ['time removed, another secret', letter.signed({ key: other.key }).withHeader(name, null), NO_TIME];
    for (const text of ['yesterday', '-1', '1e9', '0x10', '99999999999999999999999', `${value} 1`]) {
      yield [`time is ${text}`, letter.withHeader(name, text).with({ time: text }).signed(), NO_TIME];
    }
    yield ['time and signature removed', good.withHeader(name, null).withHeader(good.signatureHeader, null), MISSING];
  } else if (from === 'signature') {
    const value = good.header(good.signatureHeader);
    const before = row.parse.timestamp_prefix;
    const set = (times) => good.withHeader(good.signatureHeader, good.wrapped(hexOf(value, row.parse.prefix), { times }));
    yield ['time removed', set([]), NO_TIME];
    yield ['time empty', set(['']), NO_TIME];
    yield ['time doubled', set([good.time, good.time]), MALFORMED];
    yield ['another time beside it', set([letter.timeText(NOW + 1000), good.time]), MALFORMED];
    yield ['another time', set([letter.timeText(NOW - 1000)]), MISMATCH];
    yield ['time alone', good.withHeader(good.signatureHeader, `${before}${good.time}`), MALFORMED];
    for (const text of ['yesterday', '-1', '1e9']) yield [`time is ${text}`, letter.with({ time: text }).signed(), NO_TIME];
  } else if (from === 'json' && tolerance) {
    const key = pointer.split('/').at(-1);
    const without = letter.withBody(letter.body.toString().replace(`"${key}"`, '"elsewhere"'));
    yield ['time removed', resigned(without.with({ time: letter.time })), NO_TIME];
    yield ['another time', alteredTime(good, pointer), MISMATCH];
  }
}

// Only the time's last digit is another one.
function alteredTime(good, pointer) {
  const [, end] = place(good.body, pointer);
  const body = Buffer.from(good.body);
  body[body[end - 1] === 0x22 ? end - 2 : end - 1] ^= 1;
  return good.withBody(body);
}

function* identity(row, letter, good) {
  const { from, name } = row.event_id;
  if (from === 'header') {
    const value = good.header(name);
    const again = (changed) => (isToken(row) ? changed : changed.signed());
    yield ['id removed', again(good.withHeader(name, null)), NO_ID];
    yield ['id empty', again(good.withHeader(name, '')), NO_ID];
    const twice = row.name === 'contentful' ? MISMATCH : NO_ID; // which of two did a list of signed headers mean?
    yield ['id doubled', again(good.withHeader(name, [value, value])), twice];
    yield ['two ids', again(good.withHeader(name, [value, `${value}x`])), twice];
    yield ['id too long', again(good.withHeader(name, 'x'.repeat(513))), NO_ID];
    yield ['id header in other letters', good.renamed(name, recased(name))];
    if (signsId(row)) {
      yield ['id removed after signing', good.withHeader(name, null), MISMATCH];
      yield ['id empty after signing', good.withHeader(name, ''), MISMATCH];
      yield ['id altered', good.withHeader(name, `${value}x`), MISMATCH];
    }
    if (row.timestamp.tolerance_s) yield ['old, and without an id', again(letter.dated(NOW - row.timestamp.tolerance_s * 1000 - 1000).withHeader(name, null)), 'timestamp_too_old'];
  }
  if (row.scheme === 'rsa' || row.name === 'adyen' || row.parse.from === 'json' || row.timestamp.from === 'json') return;
  if (from === 'json' || from === 'composite' || from === 'per_item') {
    const array = row.multi_event?.array;
    const empty = array === undefined || row.name === 'cloudevents' ? '{}' : array === '' ? '[{}]' : array.split('/').slice(1).reduceRight((inner, word) => `{"${word}":${inner}}`, '[{}]');
    const broken = array === undefined ? ['', '{', 'no JSON', '[]'] : ['', '{', 'no JSON', `${empty.slice(0, -1)}`];
    if (row.name === 'cloudevents') return;
    for (const body of [empty, ...broken]) {
      const changed = letter.withBody(body);
      yield [`body is ${JSON.stringify(body)}`, isToken(row) ? changed.signed() : changed.signed(), NO_ID];
    }
  }
}

// The type is for the handlers: without one the event is stored with the empty type. Only Contentful signs its header.
function* type(row, good) {
  const { from, name } = row.event_type;
  if (from !== 'header') return;
  yield ['type header in other letters', good.renamed(name, recased(name))];
  if (row.name === 'contentful') return;
  yield ['type removed', good.withHeader(name, null)];
  yield ['type empty', good.withHeader(name, '')];
  yield ['type doubled', good.withHeader(name, [good.header(name), good.header(name)])];
}

// Ten places, each another bit; in what is signed of the body, where that is not all of it.
function* flips(row, good) {
  const spans = signedSpans(row, good);
  const places = spans.flatMap(([begin, end]) => Array.from({ length: end - begin }, (_, index) => begin + index)).filter((at) => spans.whole || /[A-Za-z0-9]/.test(String.fromCharCode(good.body[at])));
  if (places.length === 0) return;
  for (let count = 0; count < 10; count++) {
    const at = places[Math.floor((count * (places.length - 1)) / 9)];
    const bit = spans.whole ? (count * 3 + 1) % 8 : 0;
    const body = Buffer.from(good.body);
    body[at] ^= 1 << bit;
    // A time inside a body that is no JSON any more is missing before anything is compared.
    yield [`bit ${bit} of byte ${at} turned`, good.withBody(body), row.timestamp.from === 'json' && row.scheme === 'hmac' ? [MISMATCH, NO_TIME] : MISMATCH];
  }
  if (!spans.whole) return;
  const wrong = row.timestamp.from === 'json' && row.scheme === 'hmac' ? [MISMATCH, NO_TIME] : MISMATCH;
  yield ['a newline added', good.withBody(Buffer.concat([good.body, Buffer.from('\n')])), wrong];
  yield ['the last byte cut off', good.withBody(good.body.subarray(0, -1)), wrong];
  yield ['no body', good.withBody(''), wrong];
}

function signedSpans(row, { body }) {
  const at = (pointer) => place(body, pointer) ?? [0, 0];
  if (isToken(row)) return [];
  if (row.name === 'mailgun') return ['/signature/timestamp', '/signature/token'].map(at);
  if (row.name === 'aws-sns') return ['/Message', '/MessageId', '/Subject', '/Timestamp', '/TopicArn', '/Type'].map(at);
  if (row.name === 'adyen') return ['pspReference', 'merchantAccountCode', 'merchantReference', 'amount/value', 'amount/currency', 'eventCode', 'success'].map((field) => at(`/notificationItems/0/NotificationRequestItem/${field}`));
  if (row.name === 'twilio') return [[0, body.length]];
  return Object.assign([[0, body.length]], { whole: true });
}

// Only where the provider has them.
function* special(row, letter, good) {
  const { name } = row;
  if (name === 'paypal') {
    yield ['transmission id removed', good.withHeader('PAYPAL-TRANSMISSION-ID', null), MISMATCH];
    yield ['transmission id empty', good.withHeader('PAYPAL-TRANSMISSION-ID', ''), MISMATCH];
    yield ['transmission id altered', good.withHeader('PAYPAL-TRANSMISSION-ID', 'x'), MISMATCH];
    yield ['transmission id doubled', good.withHeader('PAYPAL-TRANSMISSION-ID', ['x', good.header('PAYPAL-TRANSMISSION-ID')]), MISMATCH];
    for (const url of [null, '', 'http://api.paypal.com/c', 'https://api.paypal.com.evil.example/c', 'https://evilpaypal.com/c', 'https://api.paypal.com@evil.example/c', 'https://evil.example/?api.paypal.com', 'file:///etc/passwd']) {
      yield [`certificate at ${url}`, good.withHeader('PAYPAL-CERT-URL', url), MALFORMED];
    }
    yield ['certificate URL doubled', good.withHeader('PAYPAL-CERT-URL', [good.header('PAYPAL-CERT-URL'), good.header('PAYPAL-CERT-URL')]), MALFORMED];
    yield ['another webhook', letter.with({ webhookId: 'other' }).signed(), MISMATCH];
    for (const header of ['PAYPAL-TRANSMISSION-ID', 'PAYPAL-CERT-URL']) yield [`${header} in other letters`, good.renamed(header, recased(header))];
  }
  if (name === 'aws-sns') {
    const set = (field, value, from = good) => from.withBody(withBytes(from.body, `/${field}`, JSON.stringify(value)));
    for (const url of ['http://sns.us-east-1.amazonaws.com/c.pem', 'https://sns.us-east-1.amazonaws.com.evil.example/c.pem', 'https://evil.example/sns.us-east-1.amazonaws.com.pem', 'https://s3.us-east-1.amazonaws.com/c.pem', 'https://sns.us-east-1.amazonaws.com/c.txt', 'https://sns.us-east-1.amazonaws.com@evil.example/c.pem']) {
      yield [`certificate at ${url}`, set('SigningCertURL', url, letter).signed(), MALFORMED];
    }
    yield ['signature empty', set('Signature', ''), MISSING];
    yield ['signature removed', good.withBody(good.body.toString().replace('"Signature"', '"Elsewhere"')), MISSING];
    yield ['signature of other characters', set('Signature', '!!'), MALFORMED];
    yield ['another version', set('SignatureVersion', '3'), MALFORMED];
    yield ['the other version', set('SignatureVersion', textAt(good.body, '/SignatureVersion') === '1' ? '2' : '1'), MISMATCH];
    yield ['another topic, signed', set('TopicArn', 'arn:aws:sns:us-east-1:123456789012:other', letter).signed(), MISMATCH];
    yield ['without an id, signed', set('MessageId', '', letter).signed(), NO_ID];
  }
  if (name === 'adyen') {
    const pointer = '/notificationItems/0/NotificationRequestItem/additionalData/hmacSignature';
    const set = (value) => good.withBody(withBytes(good.body, pointer, value));
    yield ['signature removed', good.withBody(good.body.toString().replace('"hmacSignature"', '"elsewhere"')), MISSING];
    yield ['signature empty', set('""'), MISSING];
    yield ['signature no text', set('null'), MISSING];
    yield ['signature of other characters', set('"!!"'), MALFORMED];
    yield ['signature cut', set(JSON.stringify(textAt(good.body, pointer).slice(0, -4))), MALFORMED];
    yield ['no items', good.withBody('{"notificationItems":[]}'), MISSING];
    yield ['no JSON', good.withBody('no JSON'), MISSING];
  }
  if (name === 'mailgun') {
    const set = (value) => good.withBody(withBytes(good.body, '/signature/signature', value));
    yield ['signature removed', good.withBody(good.body.toString().replace('"signature":"', '"elsewhere":"')), MISSING];
    yield ['signature empty', set('""'), MISSING];
    yield ['signature cut', set(JSON.stringify(textAt(good.body, '/signature/signature').slice(0, -2))), MALFORMED];
    yield ['no JSON', good.withBody('no JSON'), MISSING];
  }
  if (name === 'contentful') {
    const list = 'X-Contentful-Signed-Headers';
    yield ['list of headers altered', good.withHeader(list, good.header(list).replace('content-type,', '')), MISMATCH];
    for (const unlisted of ['x-contentful-timestamp', 'x-contentful-signed-headers']) {
      yield [`${unlisted} is not listed`, letter.withHeader(list, good.header(list).split(',').filter((one) => one !== unlisted).join(',')).signed(), MALFORMED];
    }
    for (const value of [null, '', ',', [good.header(list), good.header(list)]]) yield [`list of headers is ${value}`, good.withHeader(list, value), MALFORMED];
    yield ['the list in other letters', good.renamed(list, recased(list))];
    yield ['a listed header altered', good.withHeader('X-Contentful-Topic', 'ContentManagement.Entry.delete'), MISMATCH];
    yield ['a listed header removed', good.withHeader('X-Contentful-Topic', null), MISMATCH];
    yield ['another path', good.with({ target: `${good.target}?x=1` }), MISMATCH];
  }
  if (name === 'twilio-json') {
    const [path, query] = good.target.split('?');
    yield ['no hash in the URL', good.with({ target: path }), MALFORMED];
    yield ['no hash, but the URL signed', good.with({ target: path }).withHeader(good.signatureHeader, createHmac('sha1', letter.keys.key).update(good.url).digest('base64')), MALFORMED];
    yield ['another hash', good.with({ target: `${path}?${query.slice(0, -1)}${query.endsWith('0') ? '1' : '0'}` }), MISMATCH];
    yield ['more in the query', good.with({ target: `${good.target}&x=1` }), MISMATCH];
  }
  if (['twilio', 'square', 'hubspot', 'twilio-json'].includes(name)) {
    for (const url of ['https://localhost/', `http://${good.url.slice(8)}`, `${good.url}/`]) yield [`signed for ${url}`, letter.with({ url }).signed(), MISMATCH];
  }
  if (name === 'hubspot') yield ['signed as GET', resigned(letter, { message: letter.with({ method: 'GET' }).message() }), MISMATCH];
  if (['svix', 'clerk', 'resend'].includes(name)) {
    const unbranded = (from) => ['id', 'timestamp', 'signature'].reduce((one, word) => one.renamed(`svix-${word}`, `webhook-${word}`), from);
    yield ['unbranded headers', unbranded(good)];
    yield ['headers of both kinds', good.renamed('svix-timestamp', 'webhook-timestamp'), NO_TIME];
  }
  if (row.parse.separator && row.scheme === 'hmac') {
    const value = good.header(good.signatureHeader);
    const joint = row.parse.joined_with ?? row.parse.separator;
    const wrong = `${row.parse.prefix}${Buffer.alloc(32).toString(row.encoding)}`;
    yield ['a wrong signature beside the right one', good.withHeader(good.signatureHeader, `${value}${joint}${wrong}`)];
    yield ['unknown elements beside it', good.withHeader(good.signatureHeader, `${value}${joint}v99=abc${joint}x`)];
    yield ['a hundred wrong signatures', good.withHeader(good.signatureHeader, `${good.wrapped('').slice(0, -row.parse.prefix.length)}${Array(100).fill(wrong).join(joint)}`), DECODED];
  }
}

function* casesOf(row, keys, other) {
  const letter = Letter.of(row, keys).dated(NOW);
  const good = letter.signed();
  const foreign = letter.signed({ key: other.key, kid: keys.kid });
  yield ['genuine', good];
  yield* signatureHeader(row, good, foreign);
  yield* anotherPrefix(row, good);
  yield* anotherScheme(row, letter, keys);
  yield* anotherKey(row, letter, other);
  yield* time(row, letter, good, other);
  yield* identity(row, letter, good);
  yield* type(row, good);
  yield* flips(row, good);
  yield* special(row, letter, good);
}

describe('negative', { timeout: 300_000 }, () => {
  it('the signer of these tests makes the very signatures of the known answers', () => {
    let compared = 0;
    for (const row of parameters.filter((one) => isMac(one) && one.name !== 'twilio-json')) {
      for (const { id, request, secrets, config = {}, result, matched_secret: index } of providers.find(({ name }) => name === row.name).vectors) {
        if (result !== 'accepted') continue;
        const letter = new Letter(row, { target: request.path, headers: request.headers, body: bodyOf(request), url: config.url, keys: { key: secrets[index ?? 0] } });
        const header = letter.header(letter.signatureHeader);
        const { from, name, pointer } = row.timestamp;
        letter.time = from === 'header' ? letter.header(name) : from === 'json' ? textAt(letter.body, pointer) : from === 'signature' ? header.split(row.parse.timestamp_prefix)[1].split(/[,;]/)[0] : undefined;
        const text = letter.signature().toString(row.encoding);
        assert.ok(row.parse.from === 'json' ? textAt(letter.body, row.signature_header) === text : request.headers.some(([, value]) => value.includes(text)), id);
        compared++;
      }
    }
    assert.ok(compared > 250, `${compared} signatures compared`);
  });

  it('row 44: what is not genuine is refused with its word and not stored, what means nothing is taken', async (t) => {
    const hook = await prepare(t);
    const sources = {};
    const cases = [];
    for (const row of parameters) {
      const keys = await makeKey(row, 'ours');
      const other = await makeKey(row, 'others');
      const { config } = Letter.of(row, keys);
      sources[row.name] = await sourceOf(hook, row.name, { ...keys.settings, config });
      for (const [what, letter, words] of casesOf(row, keys, other)) cases.push({ name: `${row.name}: ${what}`, source: row.name, letter, words: words && [words].flat() });
    }
    await hook.configure({ sources });
    const clock = new Clock(hook);
    t.after(() => clock.close());
    clock.stand(NOW);
    await hook.start({ env: clock.env });
    warnedOnly(hook);
    const wrong = [];
    const ask = async ({ name, letter, words }) => {
      const { method, target, headers, body } = letter;
      const answer = await hook.request({ method, target, headers, body });
      const right = words ? words.includes(answer.result) && answer.status === STATUS[answer.result] : ['accepted', 'duplicate'].includes(answer.result);
      if (!right) wrong.push(`${name}: ${words ?? 'accepted'}, not ${answer.status} ${answer.result} ${answer.text}`);
    };
    const refused = cases.filter(({ words }) => words);
    const taken = cases.filter(({ words }) => !words);
    await spread(refused, 4, ask);
    const leaked = await hook.count('events');
    await spread(taken, 4, ask);
    assert.ok(wrong.length === 0, `${wrong.length} of ${cases.length}\n${wrong.join('')}`);
    assert.equal(leaked, 0, 'something of what was refused was stored');
    const stored = (await hook.sql('select distinct source from events order by source')).map(({ source }) => source);
    assert.deepEqual(stored, parameters.map(({ name }) => name).sort(), 'the genuine request of every preset is stored');
    clock.run();
    score(t, 44, { cases: refused.length, unexpected: leaked });
    t.diagnostic(`${cases.length} cases of ${parameters.length} presets: ${refused.length} refused, ${taken.length} taken`);
  });

  it('row 44: a genuine request that is played again does nothing: at once it is a duplicate, and later too old where its time is signed', async (t) => {
    const hook = await prepare(t, { handlers: { note: { on: ['*/*'], log: {} } }, log: { format: 'json', level: 'info' } });
    const sources = {};
    const letters = [];
    for (const row of parameters) {
      const keys = await makeKey(row, 'ours');
      const good = Letter.of(row, keys).dated(NOW).signed();
      sources[row.name] = await sourceOf(hook, row.name, { ...keys.settings, config: good.config });
      letters.push({ row, good, known: sources[row.name].event_id !== 'generated' });
    }
    await hook.configure({ sources });
    const clock = new Clock(hook);
    t.after(() => clock.close());
    clock.stand(NOW);
    await hook.start({ env: clock.env });
    warnedOnly(hook);
    const wrong = [];
    const ask = ({ good }) => hook.request({ method: good.method, target: good.target, headers: good.headers, body: good.body });
    const expect = async (letter, what, word) => {
      const { result, text } = await ask(letter);
      if (result !== word) wrong.push(`${letter.row.name}: ${what}: ${word}, not ${result} ${text}`);
    };
    for (const letter of letters) await expect(letter, 'the first time', 'accepted');
    await hook.idle();
    const stored = await hook.count('events');
    for (const letter of letters.filter(({ known }) => known)) await expect(letter, 'again', 'duplicate');
    const aged = letters.filter(({ row }) => row.timestamp.tolerance_s && ['header', 'signature', 'json', 'jwt'].includes(row.timestamp.from));
    for (const letter of aged) {
      clock.stand(NOW + letter.row.timestamp.tolerance_s * 1000 + 1000);
      await expect(letter, 'when its time is over', 'timestamp_too_old');
    }
    assert.deepEqual(wrong, []);
    assert.equal(await hook.count('events'), stored);
    clock.run();
    t.diagnostic(`${letters.length} presets: ${letters.filter(({ known }) => known).length} know it by its id, ${aged.length} by its time`);
    score(t, 44, { cases: 2 * aged.length + letters.filter(({ known }) => known).length, unexpected: (await hook.count('events')) - stored });
  });

  it('row 44: a signed field that stands there twice is no genuine message: whoever reads the last one would see what nobody signed', async (t) => {
    const hook = await prepare(t);
    const sources = {};
    const letters = [];
    for (const row of parameters.filter(({ name }) => ['aws-sns', 'adyen'].includes(name))) {
      const keys = await makeKey(row, 'ours');
      const good = Letter.of(row, keys).dated(NOW).signed();
      sources[row.name] = await sourceOf(hook, row.name, { ...keys.settings, config: good.config });
      const last = row.name === 'adyen' ? good.body.toString().replace('"success":"true"', '"success":"true","amount":{"currency":"EUR","value":99999999}') : good.body.toString().replace(/\}\s*$/, ',"Message":"another"}');
      letters.push(good.withBody(last));
    }
    await hook.configure({ sources });
    await hook.start();
    const words = [];
    for (const { method, target, headers, body } of letters) words.push((await hook.request({ method, target, headers, body })).result);
    assert.equal(words.includes('accepted'), false, `${words}`);
    assert.equal(await hook.count('events'), 0);
    score(t, 44, { cases: letters.length });
  });
});
