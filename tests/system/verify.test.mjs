// verify: why a signature does not hold, said offline; and the log of the service says the same where it says anything.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { Clock } from './clock.mjs';
import { prepare, spread, STATUS, until } from './hook.mjs';
import { parameterOf } from './preset.mjs';
import { Letter, makeKey } from './provider.mjs';
import { sourceOf } from './vector.mjs';

const NAMES = ['github', 'stripe', 'slack', 'shopify', 'standard-webhooks', 'twilio'];
const AT = 1_700_000_000_000; // when the letters were signed
const TIMED = ['stripe', 'slack', 'standard-webhooks'];
const OTHER_HEADER = { github: 'stripe', stripe: 'github', slack: 'shopify', shopify: 'slack', 'standard-webhooks': 'twilio', twilio: 'github' };

// ---- letters

// A source with a key of its own, and what signs for it.
async function sender(hook, name, word = 'one') {
  const row = parameterOf(name);
  const keys = await makeKey(row, word);
  const letter = Letter.of(row, keys);
  return { letter, source: await sourceOf(hook, name, { ...keys.settings, config: letter.config }), text: keys.key };
}

async function senders(t, options) {
  const hook = await prepare(t, options);
  const all = {};
  for (const name of NAMES) all[name] = await sender(hook, name);
  await hook.configure({ sources: Object.fromEntries(NAMES.map((name) => [name, all[name].source])), ...options });
  return { hook, all };
}

const signed = (letter, body = letter.body, at = AT) => letter.withBody(body).dated(at).signed();

// What `hooklatch verify` says of it: as text and as JSON, which must agree.
async function verify(hook, name, letter, { now = AT, query = '' } = {}) {
  const mark = Math.random().toString(36).slice(2);
  const [headers, body] = [hook.path(`headers-${mark}`), hook.path(`body-${mark}`)];
  await writeFile(headers, letter.headers.map(([header, value]) => `${header}: ${value}\n`).join(''));
  await writeFile(body, letter.body);
  const args = ['verify', '--source', name, '--headers', headers, '--body', body, '--now', new Date(now).toISOString(), ...(query ? ['--target', query] : [])];
  const plainly = await hook.cli(...args);
  const json = await hook.cli(...args, '--json');
  const report = JSON.parse(json.stdout);
  assert.equal(plainly.code, json.code);
  assert.equal(json.stderr, '');
  const lines = plainly.stdout.split('\n');
  assert.equal(lines[0], report.result);
  for (const key of ['why', 'secret', 'skew_seconds', 'event_id', 'type']) {
    const line = lines.find((one) => one.startsWith(`${key}: `));
    assert.equal(line, report[key] === undefined ? undefined : `${key}: ${report[key]}`);
  }
  return { code: json.code, ...report };
}

// ---- bodies, as the provider signed them

const FACTS = { id: 'evt_1', event_id: 'Ev1', type: 'order.paid', event: { type: 'message' }, url: 'https://example.com/a/b', name: 'Zoë Müller', amount: 1999, list: [1, 'two', { three: null }], empty: {}, none: [] };
const compact = (value) => JSON.stringify(value);
const escaped = (text, digits) => text.replace(/[\u0080-\uffff]/g, (unit) => `\\u${digits(unit.charCodeAt(0).toString(16).padStart(4, '0'))}`);
const lower = (text) => escaped(text, (hex) => hex);
const upper = (text) => escaped(text, (hex) => hex.toUpperCase());
const slashed = (text) => text.replaceAll('/', '\\/');
// ", " and ": " between, as Python writes it.
function spaced(value) {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (value && typeof value === 'object') return `{${Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${spaced(one)}`).join(', ')}}`;
  return JSON.stringify(value);
}
function ordered(value) {
  if (Array.isArray(value)) return value.map(ordered);
  if (value && typeof value === 'object') return Object.fromEntries(Object.keys(value).sort().map((key) => [key, ordered(value[key])]));
  return value;
}
const reversed = (value) => Object.fromEntries(Object.entries(value).reverse());
const pretty = (value, spaces = 2) => JSON.stringify(value, null, spaces);

// name: [what was signed, what arrived, how it is said]
const REWRITTEN = 'its JSON was read and written again: ';
const LINES = pretty(FACTS);
const ALTERED = {
  'a newline added': [compact(FACTS), `${compact(FACTS)}\n`, 'a newline was added at its end'],
  'CRLF added': [compact(FACTS), `${compact(FACTS)}\r\n`, 'CRLF was added at its end'],
  'a newline dropped': [`${compact(FACTS)}\n`, compact(FACTS), 'the newline at its end was dropped'],
  'CRLF dropped': [`${compact(FACTS)}\r\n`, compact(FACTS), 'the CRLF at its end was dropped'],
  'white space around it': [compact(FACTS), `  ${compact(FACTS)} \n\n`, 'white space was added around it'],
  'LF made CRLF': [LINES, LINES.replaceAll('\n', '\r\n'), 'its line ends were changed from LF to CRLF'],
  'CRLF made LF': [LINES.replaceAll('\n', '\r\n'), LINES, 'its line ends were changed from CRLF to LF'],
  'a mark added': [compact(FACTS), `\ufeff${compact(FACTS)}`, 'a byte order mark was added'],
  'a mark dropped': [`\ufeff${compact(FACTS)}`, compact(FACTS), 'its byte order mark was dropped'],
  'UTF-8 encoded again': [compact(FACTS), Buffer.from(Buffer.from(compact(FACTS)).toString('latin1')), 'its charset was changed: UTF-8 was taken for ISO 8859-1 and encoded again'],
  'UTF-8 made ISO 8859-1': [compact(FACTS), Buffer.from(compact(FACTS), 'latin1'), 'its charset was changed: UTF-8 was turned into ISO 8859-1'],
  gzip: [compact(FACTS), gzipSync(compact(FACTS)), 'it was compressed (gzip or deflate)'],
  deflate: [compact(FACTS), deflateSync(compact(FACTS)), 'it was compressed (gzip or deflate)'],
  'pretty, 2': [compact(FACTS), pretty(FACTS), `${REWRITTEN}white space was added`],
  'pretty, 4': [compact(FACTS), pretty(FACTS, 4), `${REWRITTEN}white space was added`],
  'pretty, tabs': [compact(FACTS), pretty(FACTS, '\t'), `${REWRITTEN}white space was added`],
  'made compact': [spaced(FACTS), compact(FACTS), `${REWRITTEN}white space was dropped or changed`],
  '\\u decoded': [lower(compact(FACTS)), compact(FACTS), `${REWRITTEN}escapes (\\uXXXX) were decoded`],
  '\\U decoded': [upper(compact(FACTS)), compact(FACTS), `${REWRITTEN}escapes in upper case (\\uXXXX) were decoded`],
  '\\u decoded and made compact': [lower(spaced(FACTS)), compact(FACTS), `${REWRITTEN}escapes (\\uXXXX) and white space were changed`],
  '\\U decoded and made compact': [upper(spaced(FACTS)), compact(FACTS), `${REWRITTEN}escapes in upper case (\\uXXXX) and white space were changed`],
  '\\/ decoded': [slashed(compact({ ...FACTS, name: 'Zoe' })), compact({ ...FACTS, name: 'Zoe' }), `${REWRITTEN}\\/ became /`],
  '\\u and \\/ decoded': [slashed(lower(compact(FACTS))), compact(FACTS), `${REWRITTEN}escapes (\\uXXXX and \\/) were decoded`],
  '\\U and \\/ decoded': [slashed(upper(compact(FACTS))), compact(FACTS), `${REWRITTEN}escapes in upper case (\\uXXXX and \\/) were decoded`],
  'an indentation of 2 dropped': [pretty(FACTS), compact(FACTS), `${REWRITTEN}the indentation (2) was dropped`],
  'an indentation of 4 dropped': [pretty(FACTS, 4), compact(FACTS), `${REWRITTEN}the indentation (4) was dropped`],
  're-ordered': [compact(ordered(FACTS)), compact(reversed(FACTS)), `${REWRITTEN}members were re-ordered`],
  're-ordered and made compact': [spaced(ordered(FACTS)), compact(reversed(FACTS)), `${REWRITTEN}members were re-ordered, white space changed`],
  truncated: [compact(FACTS), compact(FACTS).slice(0, -20), 'it ends in the middle of its JSON (truncated)'],
  'truncated inside a string': [compact(FACTS), compact(FACTS).slice(0, compact(FACTS).indexOf('Müller') + 3), 'it ends in the middle of its JSON (truncated)'],
};

// A form is not JSON: of twilio, what transport does to any body.
const FORM = 'AccountSid=AC1&MessageSid=SM1&MessageStatus=delivered&Body=Zo%C3%AB';
const FORM_ALTERED = {
  'a newline added': [FORM, `${FORM}\n`, 'a newline was added at its end'],
  'CRLF added': [FORM, `${FORM}\r\n`, 'CRLF was added at its end'],
  'white space around it': [FORM, `\n${FORM}\n\n`, 'white space was added around it'],
  'a mark added': [FORM, `\ufeff${FORM}`, 'a byte order mark was added'],
  gzip: [FORM, gzipSync(FORM), 'it was compressed (gzip or deflate)'],
  deflate: [FORM, deflateSync(FORM), 'it was compressed (gzip or deflate)'],
};

describe('verify', { timeout: 300_000, concurrency: 2 }, () => {
  for (const name of NAMES) {
    it(`${name}: every alteration of the body is found`, async (t) => {
      const { hook, all } = await senders(t);
      const { letter } = all[name];
      const wrong = [];
      for (const [what, [was, is, wanted]] of Object.entries(name === 'twilio' ? FORM_ALTERED : ALTERED)) {
        const whole = signed(letter, Buffer.from(was));
        const good = await verify(hook, name, whole);
        const report = await verify(hook, name, whole.withBody(is));
        if (good.code !== 0 && !(was.startsWith('\ufeff') && good.result === 'malformed')) wrong.push(`${what}: unaltered, ${JSON.stringify(good)}`);
        if (report.code !== 1 || report.result !== 'signature_mismatch' || report.why !== `the body was altered on the way: ${wanted}`) wrong.push(`${what}: ${JSON.stringify(report)}`);
      }
      assert.deepEqual(wrong, []);
    });

    it(`${name}: a body with something else in it is not explained away`, async (t) => {
      const { hook, all } = await senders(t);
      const { letter } = all[name];
      const body = name === 'twilio' ? FORM : compact(FACTS);
      const report = await verify(hook, name, signed(letter, Buffer.from(body)).withBody(name === 'twilio' ? FORM.replace('SM1', 'SM2') : compact({ ...FACTS, amount: 1 })));
      assert.deepEqual([report.code, report.result], [1, 'signature_mismatch']);
      assert.match(report.why, name === 'twilio' ? /fits none of the secrets; it is over the URL too: is public_url \S+ exactly/ : /^the signature fits none of the secrets: another secret, or the body was altered on the way$/);
    });

    it(`${name}: the secret of another source, and one that has expired, are said`, async (t) => {
      const { hook, all } = await senders(t);
      const { letter, source } = all[name];
      const [second, third] = [await sender(hook, name, 'two'), await sender(hook, name, 'three')];
      const until = (day) => [{ ...second.source.secrets[0], until: day }];
      await hook.configure({ sources: {
        mine: { ...source, secrets: [...source.secrets, ...until('2023-11-01')] },
        theirs: { ...source, path: '/theirs', secrets: [{ text: `whsec_${Buffer.from('x'.repeat(32)).toString('base64')}` }, ...third.source.secrets] },
      } });
      const by = (other) => signed(other.letter.with({ url: letter.url, target: letter.target }), name === 'twilio' ? Buffer.from(FORM) : Buffer.from(compact(FACTS)));
      const good = await verify(hook, 'mine', by(all[name]));
      assert.deepEqual([good.code, good.result, good.secret], [0, 'good', 1]);
      const expired = await verify(hook, 'mine', by(second));
      assert.deepEqual([expired.code, expired.result, expired.why], [1, 'signature_mismatch', 'it fits secret 2 of this source, which has expired (`until`)']);
      const early = await verify(hook, 'mine', signed(by(second), undefined, Date.parse('2023-10-31T12:00:00Z')), { now: Date.parse('2023-10-31T12:00:00Z') });
      assert.deepEqual([early.code, early.result, early.secret], [0, 'good', 2], 'before its end it was good');
      const mixed = await verify(hook, 'mine', by(third));
      assert.deepEqual([mixed.code, mixed.result, mixed.why], [1, 'signature_mismatch', 'it fits secret 2 of the source theirs: the wrong path, or mixed up secrets']);
      const nobody = await verify(hook, 'mine', by(await sender(hook, name, 'nobody')));
      assert.deepEqual([nobody.code, nobody.result], [1, 'signature_mismatch']);
      assert.doesNotMatch(nobody.why, /it fits/);
    });

    it(`${name}: a header that is missing, of another provider, empty, repeated or malformed is said`, async (t) => {
      const { hook, all } = await senders(t);
      const { letter } = all[name];
      const whole = signed(letter);
      const header = letter.signatureHeader;
      const value = whole.header(header);
      const expect = async (what, changed, word, why) => {
        const report = await verify(hook, name, changed);
        assert.deepEqual([report.code, report.result], [1, word], `${what}: ${JSON.stringify(report)}`);
        assert.match(report.why, why, what);
      };
      const missing = `^the header ${header} is missing or empty$`;
      await expect('missing', whole.withHeader(header, null), 'signature_missing', new RegExp(missing));
      await expect('empty', whole.withHeader(header, ''), 'signature_missing', new RegExp(missing));
      const other = all[OTHER_HEADER[name]].letter.signatureHeader;
      await expect('another provider’s', whole.renamed(header, other), 'signature_missing', new RegExp(`^the header ${header} is missing or empty; there is ${other}, as ${OTHER_HEADER[name]} sends it: the wrong path or provider$`));
      await expect('repeated', whole.withHeader(header, [value, value]), 'signature_malformed', new RegExp(`^the header ${header} stands there 2 times$`));
      await expect('malformed', whole.withHeader(header, '?'), 'signature_malformed', new RegExp(`^${header} holds no signature of this scheme`));
    });
  }

  it('a body that was cut off is said to be truncated, at whatever byte', async (t) => {
    const { hook, all } = await senders(t);
    const whole = signed(all.github.letter, Buffer.from(compact({ name: 'Zoë €', yes: true, no: false, nothing: null, list: [1.5, -2e9], escape: '\u0001"' })));
    const wrong = [];
    await spread(Array.from({ length: whole.body.length - 1 }, (_, index) => index + 1), 2, async (size) => {
      const body = whole.body.subarray(0, size);
      const { why } = await verify(hook, 'github', whole.withBody(body));
      if (!/\(truncated\)$/.test(why)) wrong.push(`${size} bytes: ${body.subarray(-12)}: ${why}`);
    });
    assert.deepEqual(wrong, []);
  });

  for (const name of TIMED) {
    it(`${name}: the skew is said in seconds, and the tolerance`, async (t) => {
      const { hook, all } = await senders(t);
      const whole = signed(all[name].letter, Buffer.from(compact(FACTS)));
      for (const [ahead, result, why] of [
        [300, 'good', undefined], [-300, 'good', undefined],
        [301, 'timestamp_too_old', 'the signature is right, but its time is 301 s old; 300 s are allowed: a wrong clock, or an old request'],
        [-301, 'timestamp_in_future', 'the signature is right, but its time is 301 s ahead; 300 s are allowed: a wrong clock, or an old request'],
        [86_400, 'timestamp_too_old', 'the signature is right, but its time is 86400 s old; 300 s are allowed: a wrong clock, or an old request'],
      ]) {
        const report = await verify(hook, name, whole, { now: AT + ahead * 1000 });
        assert.deepEqual([report.code, report.result, report.why, report.skew_seconds], [result === 'good' ? 0 : 1, result, why, ahead]);
      }
      const untimed = await verify(hook, name, name === 'stripe' ? whole.withHeader('Stripe-Signature', whole.header('Stripe-Signature').replace(/t=\d+,/, '')) : whole.withHeader(parameterOf(name).timestamp.name, null));
      assert.deepEqual([untimed.code, untimed.result], [1, 'timestamp_missing']);
      assert.match(untimed.why, /^the timestamp \(.*in seconds\) is missing or cannot be read$/);
    });
  }

  it('what is good says which secret, the event’s id and its type', async (t) => {
    const { hook, all } = await senders(t);
    for (const [name, id, type] of [['stripe', 'evt_1', 'order.paid'], ['slack', 'Ev1', 'message']]) {
      const { code, result, secret, event_id: told, type: kind } = await verify(hook, name, signed(all[name].letter, Buffer.from(compact(FACTS))));
      assert.deepEqual([code, result, secret, told, kind], [0, 'good', 1, id, type]);
    }
    const report = await verify(hook, 'github', signed(all.github.letter));
    assert.deepEqual([report.result, report.event_id, report.type], ['good', all.github.letter.header('X-GitHub-Delivery'), all.github.letter.header('X-GitHub-Event')]);
  });

  it('usage: exit 2, and nothing on stdout', async (t) => {
    const { hook, all } = await senders(t);
    await writeFile(hook.path('headers'), '');
    await writeFile(hook.path('body'), signed(all.github.letter).body);
    const files = ['--headers', hook.path('headers'), '--body', hook.path('body')];
    for (const args of [['--source', 'github'], ['--source', 'github', '--headers', hook.path('headers')], files, ['--source', 'gitub', ...files], ['--source', 'github', ...files, '--now', 'soon'],
      ['--source', 'github', '--headers', hook.path('none'), '--body', hook.path('body')], ['--source', 'github', '--headers', hook.path('headers'), '--body', hook.path('none')]]) {
      const { code, stdout, stderr } = await hook.cli('verify', ...args);
      assert.deepEqual([code, stdout], [2, ''], `${args.join(' ')}\n${stderr}`);
      assert.notEqual(stderr, '');
    }
  });

  it('the headers may be as they were copied: CRLF, any case, a request line, a blank one', async (t) => {
    const { hook, all } = await senders(t);
    const whole = signed(all.github.letter);
    await writeFile(hook.path('headers'), `POST /github HTTP/1.1\r\n${whole.headers.map(([name, value]) => `${name.toUpperCase()}:   ${value}  \r\n`).join('')}\r\n`);
    await writeFile(hook.path('body'), whole.body);
    const { code, stdout } = await hook.cli('verify', '--source', 'github', '--headers', hook.path('headers'), '--body', hook.path('body'));
    assert.equal(code, 0, stdout);
  });
});

describe('verify and the log', { timeout: 300_000, concurrency: 2 }, () => {
  for (const name of NAMES) {
    it(`${name}: request.rejected has the same why, and the network is told no more than its word`, async (t) => {
      const hook = await prepare(t);
      const first = await sender(hook, name);
      const [second, third] = [await sender(hook, name, 'two'), await sender(hook, name, 'three')];
      await hook.configure({ sources: {
        mine: { ...first.source, path: '/mine', secrets: [...first.source.secrets, { ...second.source.secrets[0], until: '2023-11-01' }] },
        theirs: { ...first.source, path: '/theirs', secrets: third.source.secrets },
      } });
      const clock = new Clock(hook);
      t.after(() => clock.close());
      await hook.start({ env: clock.env });
      clock.stand(AT);
      const by = ({ letter }, at) => signed(letter.with({ url: first.letter.url, target: '/mine' }), name === 'twilio' ? Buffer.from(FORM) : Buffer.from(compact(FACTS)), at);
      const header = first.letter.signatureHeader;
      const cases = {
        'an expired secret': [by(second), 'signature_mismatch'],
        'the secret of another source': [by(third), 'signature_mismatch'],
        'the secret of nobody': [by(await sender(hook, name, 'nobody')), 'signature_mismatch'],
        'another header': [by(first).renamed(header, parameterOf(OTHER_HEADER[name]).signature_header), 'signature_missing'],
        'no header': [by(first).withHeader(header, null), 'signature_missing'],
        'a repeated header': [by(first).withHeader(header, [by(first).header(header), by(first).header(header)]), 'signature_malformed'],
        ...(TIMED.includes(name) && {
          'an old one': [by(first, AT - 421_000), 'timestamp_too_old'],
          'an early one': [by(first, AT + 421_000), 'timestamp_in_future'],
        }),
      };
      const answers = new Map();
      for (const [what, [letter, word]] of Object.entries(cases)) {
        const told = await verify(hook, 'mine', letter);
        assert.equal(told.result, word, what);
        let answer;
        // A mismatch is looked into ten times a second and loop at most: sends again until it was.
        const entry = await until(`${what} to be looked into`, async () => {
          const since = hook.log.length;
          answer = await hook.request({ target: '/mine', headers: letter.headers, body: letter.body });
          const line = await hook.logged('request.rejected', { since });
          return line.why !== undefined && line;
        });
        assert.equal(entry.why, told.why, what);
        assert.equal(entry.error_type, word, what);
        if (told.skew_seconds !== undefined) assert.equal(entry.skew_seconds, told.skew_seconds, what);
        assert.deepEqual([answer.status, answer.result], [STATUS[word], word], what);
        const { request_id: id, ...body } = answer.json;
        assert.equal(body.result, word);
        assert.doesNotMatch(answer.text, /theirs|mine|expired|until|421/, what);
        const shown = JSON.stringify([body, answer.headers.filter(([key]) => !/^(?:date|hooklatch-request-id|x-request-id)$/i.test(key)).map(([key, value]) => [key, value.replace(id, '')])]);
        assert.equal(answers.get(word) ?? shown, shown, `${what}: the answer tells more than ${word}`);
        answers.set(word, shown);
      }
      clock.run();
      assert.equal(await hook.count('events'), 0);
    });
  }
});
