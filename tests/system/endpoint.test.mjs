// Endpoint checks: what providers ask before, and while, they send events. Answered in the provider's own form, never stored.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { elements } from './element.mjs';
import { assertAnswer, plain, prepare, requestBytes, STATUS } from './hook.mjs';
import { Letter, makeKey } from './provider.mjs';
import { parameters, sourceOf, warnedOnly } from './vector.mjs';

const VERIFY_TOKEN = 'VerifyToken-Canary5ecretThatNobodyLogs';
const MOST = 1024; // bytes of the sender's text that are given back
const TEXT = 'text/plain';
const JSON_TYPE = 'application/json';

// A source of each preset that is named, with a key of ours: hook.keys[name] and hook.letter(name).
async function withPresets(t, names, more = {}) {
  const hook = await prepare(t);
  const sources = { ...more };
  const config = { url: 'https://hooks.example.com/x', webhook_id: 'W1', topic_arns: ['arn:aws:sns:us-east-1:123456789012:orders'], verify_token: VERIFY_TOKEN };
  hook.keys = {};
  for (const row of parameters.filter(({ name }) => names.includes(name))) {
    hook.keys[row.name] = await makeKey(row, 'ours');
    sources[row.name] = { ...(await sourceOf(hook, row.name, { ...hook.keys[row.name].settings, config: wanted(row.name, config) })), ...more[row.name] };
  }
  hook.letter = (name) => Letter.of(parameters.find((row) => row.name === name), hook.keys[name]).dated(Date.now());
  hook.ask = ({ method, target, headers, body }) => hook.request({ method, target, headers, body });
  hook.keepSecret(VERIFY_TOKEN);
  await hook.configure({ sources });
  await hook.start();
  warnedOnly(hook);
  return hook;
}

// The keys that a preset has no use for are refused.
function wanted(name, { url, webhook_id: id, topic_arns: topics, verify_token: token }) {
  return {
    ...(['twilio', 'twilio-json', 'square', 'hubspot'].includes(name) && { url }),
    ...(name === 'paypal' && { webhook_id: id }),
    ...(name === 'aws-sns' && { topic_arns: topics }),
    ...(['meta', 'whatsapp'].includes(name) && { verify_token: token }),
  };
}

const get = (target, headers = []) => ({ method: 'GET', target, headers });
const posted = (letter, body) => letter.withBody(JSON.stringify(body)).signed();
const subscribe = (path, query = {}) => get(`${path}?${new URLSearchParams({ 'hub.mode': 'subscribe', 'hub.challenge': '1158201444', 'hub.verify_token': VERIFY_TOKEN, ...query })}`);

// Each check as its provider sends it, and the answer that the provider looks for: [status, type, text or object, headers].
const CHECKS = {
  slack: (hook) => [posted(hook.letter('slack'), { token: 'x', challenge: 'TlBslQ9d &<"é', type: 'url_verification' }), 200, TEXT, 'TlBslQ9d &<"é', { 'X-Content-Type-Options': 'nosniff' }],
  zoom: (hook) => [
    posted(hook.letter('zoom'), { payload: { plainToken: 'qgg8vlvZRS6UYooatFL8Aw' }, event_ts: 1, event: 'endpoint.url_validation' }), 200, JSON_TYPE,
    { plainToken: 'qgg8vlvZRS6UYooatFL8Aw', encryptedToken: createHmac('sha256', hook.keys.zoom.key).update('qgg8vlvZRS6UYooatFL8Aw').digest('hex') },
  ],
  'discord-events': (hook) => [posted(hook.letter('discord-events'), { version: 1, application_id: '1', type: 0 }), 204, null, ''],
  'discord-interactions': (hook) => [posted(hook.letter('discord-interactions'), { id: '1', application_id: '1', type: 1 }), 200, JSON_TYPE, { type: 1 }],
  meta: () => [subscribe('/meta'), 200, TEXT, '1158201444', { 'X-Content-Type-Options': 'nosniff' }],
  whatsapp: () => [subscribe('/whatsapp'), 200, TEXT, '1158201444', { 'X-Content-Type-Options': 'nosniff' }],
  x: (hook) => [get('/x?crc_token=kI8EpTWU%3D&nonce=abc'), 200, JSON_TYPE, { response_token: `sha256=${createHmac('sha256', hook.keys.x.key).update('kI8EpTWU=').digest('base64')}` }],
  dropbox: () => [get('/dropbox?challenge=ovPp+IF1%26%3Cb%3E'), 200, TEXT, 'ovPp IF1&<b>', { 'X-Content-Type-Options': 'nosniff' }],
  okta: (hook) => [get('/okta', [['Authorization', hook.keys.okta.key], ['X-Okta-Verification-Challenge', 'a"b\\c']]), 200, JSON_TYPE, { verification: 'a"b\\c' }],
  'azure-event-grid': (hook) => [
    posted(hook.letter('azure-event-grid').withHeader('aeg-event-type', 'SubscriptionValidation'),
      [{ id: '1', topic: 't', data: { validationCode: '512d38b6-c7b8-40c8-89fe-f46f9e9622b6', validationUrl: 'https://example.com' }, eventType: 'Microsoft.EventGrid.SubscriptionValidationEvent' }]),
    200, JSON_TYPE, { validationResponse: '512d38b6-c7b8-40c8-89fe-f46f9e9622b6' },
  ],
  cloudevents: () => [
    { method: 'OPTIONS', target: '/cloudevents', headers: [['WebHook-Request-Origin', 'events.example.com'], ['WebHook-Request-Rate', '120'], ['WebHook-Request-Callback', 'https://127.0.0.1:1/']] },
    200, null, '', { Allow: 'POST', 'WebHook-Allowed-Origin': 'events.example.com', 'WebHook-Allowed-Rate': '*' },
  ],
  line: (hook) => [posted(hook.letter('line'), { destination: 'U1', events: [] }), 200, null, ''],
  intercom: () => [{ method: 'HEAD', target: '/intercom', headers: [] }, 200, null, ''],
};
const CHECKED = Object.keys(CHECKS);
const SIGNED = ['slack', 'zoom', 'discord-events', 'discord-interactions', 'line', 'azure-event-grid'];

async function counted(hook, word) {
  const { text } = await hook.admin('/metrics');
  return Number(new RegExp(`^hooklatch_answers_total\\{[^}]*result="${word}"[^}]*\\} ([0-9]+)$`, 'm').exec(text)?.[1] ?? 0);
}

describe('endpoint', { timeout: 120_000, concurrency: 2 }, () => {
  it('each check is answered in its own form, as often as it comes, is counted and not stored', async (t) => {
    const hook = await withPresets(t, CHECKED);
    for (let round = 1; round <= 2; round++) {
      for (const [name, check] of Object.entries(CHECKS)) {
        const [request, status, type, reply, headers = {}] = check(hook);
        const answer = await hook.ask(request);
        assert.equal(answer.result, 'challenge', `${name} ${answer.text}`);
        assert.equal(answer.status, status, name);
        if (type) assert.equal(answer.header('content-type').split(';')[0], type, name);
        if (typeof reply === 'string') assert.equal(answer.text, reply, name);
        else assert.deepEqual(JSON.parse(answer.text), reply, name);
        for (const [header, value] of Object.entries(headers)) assert.equal(answer.header(header), value, `${name} ${header}`);
      }
      assert.equal(await counted(hook, 'challenge'), round * CHECKED.length);
    }
    assert.equal(await hook.count('events'), 0);
    const stats = await hook.stats();
    assert.deepEqual([stats.accepted, stats.duplicates, stats.ignored, Object.values(stats.rejected).reduce((sum, n) => sum + n, 0)], [0, 0, 0, 0]);
    assert.equal(hook.log.filter(({ event }) => event === 'endpoint.checked').length, 2 * CHECKED.length);
  });

  it('what is signed is answered only when its signature holds', async (t) => {
    const hook = await withPresets(t, SIGNED);
    for (const name of SIGNED) {
      const [good] = CHECKS[name](hook);
      const other = await makeKey(good.row, 'others');
      const header = good.signatureHeader;
      assertAnswer(await hook.ask(good.withHeader(header, null)), 'signature_missing', name);
      assertAnswer(await hook.ask(good.with({ time: good.timeText(good.at) }).signed({ key: other.key })), 'signature_mismatch', name);
      if (!['azure-event-grid'].includes(name)) assertAnswer(await hook.ask(good.withBody(Buffer.concat([good.body, Buffer.from(' ')]))), 'signature_mismatch', name);
      if (good.row.timestamp.tolerance_s) {
        const old = good.dated(Date.now() - good.row.timestamp.tolerance_s * 1000 - 60_000).signed();
        assertAnswer(await hook.ask(old), 'timestamp_too_old', name);
      }
    }
    assert.equal(await counted(hook, 'challenge'), 0);
    assert.equal(await hook.count('events'), 0);
  });

  it('Meta’s check needs the verify token, and Okta’s the secret', async (t) => {
    const hook = await withPresets(t, ['meta', 'whatsapp', 'okta']);
    for (const name of ['/meta', '/whatsapp']) {
      for (const token of ['nope', VERIFY_TOKEN.slice(0, -1), `${VERIFY_TOKEN}x`, VERIFY_TOKEN.toUpperCase()]) {
        assertAnswer(await hook.ask(subscribe(name, { 'hub.verify_token': token })), 'signature_mismatch', `${name} ${token}`);
      }
      assertAnswer(await hook.ask(subscribe(name, { 'hub.verify_token': '' })), 'signature_missing', name);
      assertAnswer(await hook.ask(get(`${name}?hub.mode=subscribe&hub.challenge=1`)), 'signature_missing', name);
      assertAnswer(await hook.ask(get(`${name}?hub.mode=subscribe&hub.verify_token=${VERIFY_TOKEN}`)), 'malformed', `${name} nothing to give back`);
      assert.equal((await hook.ask(subscribe(name, { 'hub.verify_token': 'nope' }))).text.includes('1158201444'), false);
    }
    const challenge = ['X-Okta-Verification-Challenge', 'abc'];
    assertAnswer(await hook.ask(get('/okta', [challenge])), 'signature_missing');
    assertAnswer(await hook.ask(get('/okta', [challenge, ['Authorization', '']])), 'signature_missing');
    for (const token of ['wrong', hook.keys.okta.key.slice(0, -1), `Bearer ${hook.keys.okta.key}`]) assertAnswer(await hook.ask(get('/okta', [challenge, ['Authorization', token]])), 'signature_mismatch', token);
    assert.equal(await counted(hook, 'challenge'), 0);
  });

  it('a request with the method of a check that is none is malformed', async (t) => {
    const hook = await withPresets(t, ['meta', 'x', 'dropbox', 'okta', 'cloudevents']);
    for (const request of [
      get('/meta'), get('/meta?hub.mode=unsubscribe&hub.challenge=1'), subscribe('/meta', { 'hub.mode': '' }), get('/x'), get('/x?crc_token='), get('/x?crc=1'), get('/dropbox'),
      get('/dropbox?challenge'), get('/dropbox?challenge='), get('/dropbox?Challenge=a'), get('/dropbox?xchallenge=a'), get('/dropbox?challenge=%zz'),
      get('/okta', [['Authorization', hook.keys.okta.key]]), get('/okta', [['Authorization', hook.keys.okta.key], ['X-Okta-Verification-Challenge', '']]),
      { method: 'OPTIONS', target: '/cloudevents', headers: [] }, { method: 'OPTIONS', target: '/cloudevents', headers: [['WebHook-Request-Origin', '']] },
    ]) assertAnswer(await hook.ask(request), 'malformed', `${request.method} ${request.target}`);
    assert.equal(await counted(hook, 'challenge'), 0);
  });

  it('a source without a check answers all methods but POST with 405, and one with it allows its own', async (t) => {
    const names = parameters.map(({ name }) => name);
    const hook = await withPresets(t, names, { plain });
    const methods = { meta: 'GET', whatsapp: 'GET', x: 'GET', dropbox: 'GET', okta: 'GET', cloudevents: 'OPTIONS', intercom: 'HEAD' };
    for (const name of [...names, 'plain']) {
      for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH']) {
        if (methods[name] === method) continue;
        const answer = await hook.ask({ method, target: `/${name}`, headers: [] });
        assert.deepEqual([answer.status, answer.result], [STATUS.method, 'method'], `${method} ${name}`);
        assert.deepEqual(answer.header('allow').split(', ').sort(), [...(methods[name] ? [methods[name]] : []), 'POST'].sort(), `Allow of ${method} ${name}`);
      }
    }
  });

  it('a text of more than 1 KiB is not given back', async (t) => {
    const hook = await withPresets(t, ['slack', 'zoom', 'meta', 'x', 'dropbox', 'okta', 'azure-event-grid', 'cloudevents']);
    const asked = {
      slack: (text) => posted(hook.letter('slack'), { type: 'url_verification', challenge: text }),
      zoom: (text) => posted(hook.letter('zoom'), { event: 'endpoint.url_validation', payload: { plainToken: text } }),
      meta: (text) => subscribe('/meta', { 'hub.challenge': text }),
      x: (text) => get(`/x?crc_token=${text}`),
      dropbox: (text) => get(`/dropbox?challenge=${text}`),
      okta: (text) => get('/okta', [['Authorization', hook.keys.okta.key], ['X-Okta-Verification-Challenge', text]]),
      'azure-event-grid': (text) => posted(hook.letter('azure-event-grid').withHeader('aeg-event-type', 'SubscriptionValidation'), [{ data: { validationCode: text } }]),
      cloudevents: (text) => ({ method: 'OPTIONS', target: '/cloudevents', headers: [['WebHook-Request-Origin', text]] }),
    };
    for (const [name, request] of Object.entries(asked)) {
      const most = await hook.ask(request('a'.repeat(MOST)));
      assert.equal(most.result, 'challenge', `${name}: exactly 1 KiB ${most.text.slice(0, 200)}`);
      const more = await hook.ask(request('a'.repeat(MOST + 1)));
      assertAnswer(more, 'malformed', name);
      assert.ok(!more.text.includes('aaaa'), name);
    }
    assert.equal(await hook.count('events'), 0);
  });

  it('X’s check signs nothing that could be sent back as an event', async (t) => {
    const hook = await withPresets(t, ['x', 'zoom']);
    const forged = '{"for_user_id":"1","tweet_create_events":[]}';
    for (const text of [forged, '[]', '""', '{}', 'a b', 'a\nb', 'a"', 'é', 'a&b']) {
      assertAnswer(await hook.ask(get(`/x?crc_token=${encodeURIComponent(text)}`)), 'malformed', text);
      const zoom = await hook.ask(posted(hook.letter('zoom'), { event: 'endpoint.url_validation', payload: { plainToken: text } }));
      assertAnswer(zoom, 'malformed', `zoom: ${text}`);
    }
  });

  it('X’s check signs no NUL', async (t) => {
    const hook = await withPresets(t, ['x']);
    for (const text of ['%00', 'a%00b']) assertAnswer(await hook.ask(get(`/x?crc_token=${text}`)), 'malformed', text);
  });

  it('what X’s check has signed for anybody is not taken as an event', async (t) => {
    const hook = await withPresets(t, ['x']);
    for (const text of ['1', 'abc', 'kI8EpTWU=']) {
      const { response_token: signature } = JSON.parse((await hook.ask(get(`/x?crc_token=${encodeURIComponent(text)}`))).text);
      const answer = await hook.ask(hook.letter('x').withBody(text).withHeader('x-twitter-webhooks-signature', signature));
      assert.notEqual(answer.result, 'accepted', `the body ${text}: ${answer.text}`);
    }
    assert.equal(await hook.count('events'), 0);
  });

  it('nothing of the sender gets into the head of an answer, nor out of its JSON', async (t) => {
    const hook = await withPresets(t, ['slack', 'dropbox', 'meta', 'okta', 'cloudevents', 'azure-event-grid']);
    const evil = 'a\r\nX-Evil: 1\r\n\r\n<script>';
    const clean = (answer, name) => {
      assert.equal(answer.header('x-evil'), undefined, name);
      assert.equal(answer.result, 'challenge', `${name} ${answer.text}`);
      return answer;
    };
    for (const [name, request] of Object.entries({ dropbox: get(`/dropbox?challenge=${encodeURIComponent(evil)}`), meta: subscribe('/meta', { 'hub.challenge': evil }), slack: posted(hook.letter('slack'), { type: 'url_verification', challenge: evil }) })) {
      const answer = await hook.ask(request);
      if (answer.result === 'malformed') continue; // refused is as good
      assert.equal(clean(answer, name).text, evil);
      assert.match(answer.header('content-type'), /^text\/plain/);
      assert.equal(answer.header('x-content-type-options'), 'nosniff');
    }
    const grid = posted(hook.letter('azure-event-grid').withHeader('aeg-event-type', 'SubscriptionValidation'), [{ data: { validationCode: '"},\u0001\r\n\u2028é' } }]);
    assert.deepEqual(JSON.parse(clean(await hook.ask(grid), 'azure-event-grid').text), { validationResponse: '"},\u0001\r\n\u2028é' });
    const header = await hook.ask(get('/okta', [['Authorization', hook.keys.okta.key], ['X-Okta-Verification-Challenge', '"},{"a":"</script>']]));
    assert.deepEqual(JSON.parse(clean(header, 'okta').text), { verification: '"},{"a":"</script>' });
    // What is reflected in a header comes from a header: bytes that end one are refused with the request.
    for (const text of ['a\rX-Evil: 1', 'a\nX-Evil: 1', 'a\0b', 'a\r\n\tX-Evil: 1']) {
      const connection = await hook.connect();
      const answer = await hook.request({ connection, method: 'OPTIONS', target: '/cloudevents', headers: [['WebHook-Request-Origin', text]] });
      assert.deepEqual([answer.status, answer.header('x-evil')], [400, undefined], JSON.stringify(text));
    }
    for (const text of ['evil.example, other.example', 'https://a.example', '*', 'a b', '"']) {
      const answer = await hook.ask({ method: 'OPTIONS', target: '/cloudevents', headers: [['WebHook-Request-Origin', text]] });
      if (answer.result !== 'malformed') assert.equal(clean(answer, text).header('webhook-allowed-origin'), text);
    }
  });

  it('what follows the head of a check is never taken for a request', async (t) => {
    const hook = await withPresets(t, ['dropbox', 'okta', 'cloudevents', 'intercom']);
    const hidden = Buffer.from('GET /dropbox?challenge=hidden HTTP/1.1\r\nHost: x\r\n\r\n');
    const chunked = Buffer.from(`${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`);
    for (const [request, framing, body] of [
      [CHECKS.dropbox(hook)[0], [], hidden], [CHECKS.dropbox(hook)[0], [['Transfer-Encoding', 'chunked']], chunked], [CHECKS.okta(hook)[0], [], hidden],
      [CHECKS.cloudevents(hook)[0], [], hidden], [CHECKS.intercom(hook)[0], [], hidden], [get('/dropbox'), [], hidden],
    ]) {
      const connection = await hook.connect();
      const first = await hook.request({ connection, ...request, headers: [...request.headers, ...framing], body });
      assert.notEqual(first.text, 'hidden');
      // Either the connection is over, or the next answer is that to the next request.
      await connection.write(requestBytes({ method: 'GET', target: '/dropbox?challenge=second', headers: [['Connection', 'close']] }));
      const second = await connection.response().catch(() => null);
      if (second) assert.equal(second.text, 'second', `${request.method} ${request.target}`);
      connection.close();
    }
  });

  it('`allow:` is asked before a check is answered, `types:` and `ack:` are not', async (t) => {
    const names = ['dropbox', 'slack', 'intercom', 'cloudevents'];
    const only = Object.fromEntries(names.map((name) => [name, { allow: ['192.0.2.0/24'] }]));
    const hook = await withPresets(t, names, only);
    for (const name of names) {
      const answer = await hook.ask(CHECKS[name](hook)[0]);
      assert.deepEqual([answer.status, answer.result], [403, 'address_refused'], name);
    }
    const wrong = await hook.ask({ method: 'PUT', target: '/dropbox', headers: [] });
    assert.equal(wrong.result, 'method', 'the method is judged before the address');
    await hook.stop();
    const open = await withPresets(t, names, Object.fromEntries(names.map((name) => [name, { allow: ['127.0.0.0/8'], types: ['nothing'], ack: { status: 299, body: 'acknowledged' } }])));
    for (const name of names) {
      const [request, status, , reply] = CHECKS[name](open);
      const answer = await open.ask(request);
      assert.deepEqual([answer.status, answer.result, answer.text], [status, 'challenge', reply], name);
    }
  });

  it('with the check come ordinary events, and they are stored', async (t) => {
    const hook = await withPresets(t, CHECKED);
    for (const name of CHECKED) {
      const letter = hook.letter(name).signed();
      const answer = await hook.ask(letter);
      assert.equal(answer.result, 'accepted', `${name} ${answer.text}`);
      const array = letter.row.multi_event?.array;
      const several = array !== undefined && name !== 'cloudevents';
      assert.equal(await hook.count('events', `source = '${name}'`), several ? elements(letter.body, array).length : 1, name);
    }
    assert.equal(await counted(hook, 'challenge'), 0);
  });
});
