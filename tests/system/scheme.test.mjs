// Providers that nobody has: each combines what the presets have in a way that none of them does. A few lines of configuration, put in
// while the service runs, are all that it takes; signed by provider.mjs from the same facts in the survey's words.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, plain, prepare, serve, until } from './hook.mjs';
import { Letter, makeKey } from './provider.mjs';

const JSON_HEADERS = [['Content-Type', 'application/json']];
const FORM_HEADERS = [['Content-Type', 'application/x-www-form-urlencoded']];

// `source` is what an operator writes; `row` and `letter` what the provider does; `events` what must come of it.
const MADE_UP = {
  // the time in a list, in milliseconds; a key in hexadecimal; method, URL and id signed
  orchard: {
    row: {
      scheme: 'hmac', algorithm: 'sha1', encoding: 'base64', key_decoding: 'hex', signature_header: 'X-Orchard-Proof', signed_template: '{method}|{url}|{id}|{timestamp}\n{body}',
      parse: { from: 'header', separator: ';', prefix: 'k=', timestamp_prefix: 'when=' }, timestamp: { from: 'signature', unit: 'ms', tolerance_s: 42 }, event_id: { name: 'X-Orchard-Id' },
    },
    source: {
      public_url: 'https://hooks.example.com/orchard?garden=1',
      signature: { header: 'X-Orchard-Proof', algorithm: 'sha1', encoding: 'base64', key: 'hex', separator: ';', prefix: 'k=', timestamp_prefix: 'when=', signed: '{method}|{url}|{id}|{timestamp}\n{body}' },
      timestamp: { from: 'signature', unit: 'milliseconds' }, tolerance: '42s', event_id: { header: 'X-Orchard-Id' }, event_type: { header: 'X-Orchard-Kind' }, ack: { status: 202, body: 'apples' },
    },
    letter: { headers: [...JSON_HEADERS, ['X-Orchard-Id', 'tree/1'], ['X-Orchard-Kind', 'apple.fell']], body: 'not JSON at all \u0001' },
    events: [['tree/1', 'apple.fell']],
    ack: [202, 'apples'],
  },
  // signature and time inside the body; an id of parts, of which one is missing and one is a header
  lighthouse: {
    row: {
      scheme: 'hmac', algorithm: 'sha256', encoding: 'hex', key_decoding: 'raw', signature_header: '/proof/mac', signed_template: 'lh1.{timestamp}.{json:/proof/nonce}.{header:X-Lamp}',
      parse: { from: 'json', prefix: 'lh1:' }, timestamp: { from: 'json', pointer: '/proof/at', unit: 'rfc3339', tolerance_s: 86_400 }, event_id: {},
    },
    source: {
      signature: { from: 'json', pointer: '/proof/mac', prefix: 'lh1:', signed: 'lh1.{timestamp}.{json:/proof/nonce}.{header:X-Lamp}' },
      timestamp: { json: '/proof/at', unit: 'rfc3339' }, tolerance: '24h', event_id: { parts: ['/ship', '/nothing', 'X-Lamp'] }, event_type: { value: 'seen' },
    },
    letter: { headers: [...JSON_HEADERS, ['X-Lamp', 'west']], body: '{"proof":{"mac":"","nonce":"n1","at":"" }, "ship":9007199254740993}' },
    events: [['9007199254740993::west', 'seen']],
  },
  // a public key, a pattern of headers, several events in one request, and Slack's endpoint check
  beehive: {
    row: {
      scheme: 'ed25519', algorithm: 'ed25519', encoding: 'hex', key_decoding: 'hex', signature_header: 'X-Bee-*', signed_template: '{body}#{timestamp}', parse: { from: 'header', prefix: 'v7,', separator: ' ' },
      timestamp: { from: 'header', name: 'Bee-Time', unit: 's', tolerance_s: 300 }, event_id: {},
    },
    source: {
      signature: { header: 'X-Bee-*', algorithm: 'ed25519', encoding: 'hex', prefix: 'v7,', separator: ' ', signed: '{body}#{timestamp}' },
      timestamp: { header: 'Bee-Time' }, events: { array: '/comb/cells', id: { parts: ['/row', '/column'] }, type: { json: '/honey/kind' } }, challenge: 'slack',
    },
    letter: { headers: JSON_HEADERS, body: '{"comb":{"cells":[ {"row":1,"column":"a","honey":{"kind":"lime"}}, {"column":"b","row":1} ]}}' },
    events: [['1:a', 'lime'], ['1:b', '']],
    check: ['{"type":"url_verification","challenge":"buzz"}', 'buzz'],
  },
  // a form: what is signed, and id and type, are its parameters; path and query too
  harbour: {
    row: {
      scheme: 'hmac', algorithm: 'sha256', encoding: 'base64', key_decoding: 'base64_after_whsec', signature_header: 'Harbour-Seal', signed_template: '{path}&{sorted_form_params}&{timestamp}',
      parse: { from: 'header', prefix: '' }, timestamp: { from: 'header', name: 'Harbour-Time', unit: 's', tolerance_s: 60 }, event_id: {},
    },
    source: {
      signature: { header: 'Harbour-Seal', encoding: 'base64', key: 'base64_after_whsec', signed: '{path}&{sorted_form_params}&{timestamp}' },
      timestamp: { header: 'Harbour-Time' }, tolerance: '60s', event_id: { form: 'Berth' }, event_type: { form: 'What' },
    },
    letter: { target: '/harbour?tide=high', headers: FORM_HEADERS, body: 'What=ship%20docked&Berth=b%2F7&Z=%C3%A9+' },
    events: [['b/7', 'ship docked']],
  },
  // ECDSA over a list of headers that the sender chooses
  telegraph: {
    row: {
      scheme: 'ecdsa', algorithm: 'ecdsa-p256-sha256', encoding: 'base64', signature_header: 'Telegraph-Sign', signed_template: '{timestamp}\n{signed_headers:Telegraph-List}\n{body}', parse: { from: 'header', prefix: 'p256:' },
      timestamp: { from: 'header', name: 'Telegraph-At', unit: 'rfc3339', tolerance_s: 600 }, event_id: { name: 'Telegraph-Number' },
    },
    source: {
      signature: { header: 'Telegraph-Sign', algorithm: 'ecdsa-p256-sha256', encoding: 'base64', prefix: 'p256:', signed: '{timestamp}\n{signed_headers:Telegraph-List}\n{body}' },
      timestamp: { header: 'Telegraph-At', unit: 'rfc3339' }, tolerance: '10m', event_id: { header: 'Telegraph-Number' }, event_type: { json: '/0/kind' },
    },
    letter: { headers: [...JSON_HEADERS, ['Telegraph-List', 'telegraph-list,telegraph-at,telegraph-number,content-type'], ['Telegraph-Number', '77']], body: '[{"kind":"stop"}]' },
    events: [['77', 'stop']],
  },
};

async function madeUp(name) {
  const { row, source, letter } = MADE_UP[name];
  const keys = await makeKey({ name, ...row }, 'ours');
  const { secrets, public_keys: publicKeys } = keys.settings;
  const config = { path: `/${name}`, provider: 'hmac', ...source, ...(secrets ? { secrets: secrets.map((text) => ({ text })) } : { public_keys: publicKeys.map((text) => ({ text })) }) };
  const made = new Letter({ name, ...row }, { target: `/${name}`, url: source.public_url, keys, ...letter, body: Buffer.from(letter.body) });
  return { config, letter: made, other: await makeKey({ name, ...row }, 'others') };
}

describe('scheme', { timeout: 120_000, concurrency: 3 }, () => {
  for (const name of Object.keys(MADE_UP)) {
    it(`the made-up provider ${name} is taken after a reload, by data alone`, async (t) => {
      const { events, ack, check } = MADE_UP[name];
      const { config, letter, other } = await madeUp(name);
      const hook = await serve(t, { sources: { plain }, handlers: { note: { on: ['plain/*'], log: {} } } });
      const ask = ({ method, target, headers, body }) => hook.request({ method, target, headers, body });
      const now = Date.now();
      const good = letter.dated(now).signed();
      assertAnswer(await ask(good), 'not_found', 'nobody knows it yet');
      const known = await hook.json('providers');
      assert.ok(!known.some((preset) => preset.name === name));

      const entry = await hook.reload({ sources: { plain, [name]: config }, handlers: { note: { on: [`${name}/*`], log: {} } } });
      assert.equal(entry.event, 'config.reloaded', entry.line);
      await until('the new source', async () => (await hook.request({ method: 'PUT', target: `/${name}` })).status === 405);

      const { tolerance_s: tolerance, from } = letter.row.timestamp;
      for (const [what, changed, words] of [
        ['another key', letter.dated(now).signed({ key: other.key }), ['signature_mismatch']],
        ['another body', good.withBody(Buffer.concat([good.body, Buffer.from('&x=1')])), from === 'json' ? null : ['signature_mismatch', 'timestamp_missing']],
        ['a time too old', letter.dated(now - tolerance * 1000 - 5000).signed(), ['timestamp_too_old']],
        ['a time too far ahead', letter.dated(now + tolerance * 1000 + 60_000).signed(), ['timestamp_in_future']],
        ['no signature', letter.row.parse.from === 'json' ? good.withBody(good.body.toString().replace('"mac"', '"cam"')) : good.withHeader(good.signatureHeader, null), ['signature_missing']],
        ['another version', letter.dated(now).signed({ prefix: 'v8,' }), ['signature_malformed']],
      ]) {
        if (words === null) continue;
        const answer = await ask(changed);
        assert.ok(words.includes(answer.result), `${what}: ${words}, not ${answer.result} ${answer.text}`);
      }
      assert.equal(await hook.count('events'), 0);

      for (const word of ['accepted', 'duplicate']) {
        const answer = await ask(good);
        assert.equal(answer.result, word, answer.text);
        if (ack) assert.deepEqual([answer.status, answer.text], ack);
      }
      const rows = await hook.sql('select event_id, type from events order by seq');
      assert.deepEqual(rows.map((row) => [row.event_id, row.type]), events);
      for (const [id] of events) await hook.settled(`${name}/${id}`, { state: 'done' });
      if (events.length === 1) assert.ok((await hook.event(`${name}/${events[0][0]}`)).body.equals(good.body));

      if (check) {
        const answer = await ask(letter.withBody(check[0]).dated(now).signed());
        assert.deepEqual([answer.result, answer.text], ['challenge', check[1]]);
      }
      await verifies(hook, name, good, events);
      assert.equal((await hook.cli('config', 'check')).code, 0);
    });
  }

  for (const [what, more] of Object.entries({
    'one header that names all events of a request': { event_id: undefined, event_type: undefined, events: { array: '/list', id: { header: 'X-Id' } } },
    'one constant that names all events of a request': { event_id: undefined, event_type: undefined, events: { array: '/list', id: { value: 'same' } } },
    'a check that asks for a token the scheme has not': { challenge: 'okta' },
    'a check that answers with a secret the scheme has not': { challenge: 'zoom', secrets: undefined, public_keys: [{ text: '56a7b4d95b39e8734e4090d8bb8820c36958801d58bce8d1e28f0421f662b5b9' }], signature: { header: 'X-Signature', algorithm: 'ed25519', signed: '{body}' } },
  })) {
    it(`the configuration refuses ${what}`, async (t) => {
      const hook = await prepare(t, { sources: { made: { ...plain, path: '/made', ...more } } });
      const { code, stderr, text } = await hook.cli('config', 'check');
      assert.equal(code, 2, text);
      assert.match(stderr, /error: /);
    });
  }

  it('the command line signs and sends for a made-up provider as it does for a known one', async (t) => {
    const { config } = await madeUp('orchard');
    const hook = await serve(t, { sources: { orchard: config }, handlers: { note: { on: ['orchard/*'], log: {} } } });
    const { port } = hook.address();
    await hook.ok('send', '--source', 'orchard', '--type', 'apple.fell', '--id', 'sent', '--url', `https://localhost:${port}/orchard`);
    await hook.settled('orchard/sent', { state: 'done' });
    assert.equal((await hook.event('orchard/sent')).type, 'apple.fell');
  });
});

// Offline, with the same configuration.
async function verifies(hook, name, { target, headers, body }, events) {
  await writeFile(hook.path('headers'), headers.map(([header, value]) => `${header}: ${value}\n`).join(''));
  await writeFile(hook.path('body'), body);
  const report = await hook.json('verify', '--source', name, '--headers', hook.path('headers'), '--body', hook.path('body'), '--target', target);
  assert.equal(report.result, 'good');
  assert.deepEqual((report.events ?? [report]).map(({ event_id: id, type }) => [id, type]), events);
}
