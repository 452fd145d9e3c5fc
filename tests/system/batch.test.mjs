// Requests with several events: split, stored all or none, each under its own id, the whole kept once beside them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { assertAnswer, plain, prepare, recorder, spread, until } from './hook.mjs';
import { Letter, makeKey } from './provider.mjs';
import { parameters, sourceOf, warnedOnly } from './vector.mjs';

const run = promisify(execFile);

// An element as the provider might write it: odd white space, keys in no order, numbers that no double holds.
const ELEMENT = {
  hubspot: (n) => `{ "occurredAt" : 176936798000${n},"subscriptionType":"contact.creation" ,\n  "objectId":12345678901234567890, "subscriptionId":1,"eventId":${n} }`,
  sendgrid: (n) => `{"event":"open","timestamp":1e400,\t"sg_event_id":"S${n}","a":"]},{\\"" }`,
  okta: (n) => `{"severity":"INFO","eventType":"user.session.start",  "uuid" : "O${n}","debug":[[],{"x":[1]}]}`,
  line: (n) => `{"webhookEventId":"L${n}"\r\n,"type":"message","message":{"id":"798313401671951916","text":"\\u0000é[" }}`,
  'azure-event-grid': (n) => `{"id":"G${n}","topic":"/t","data":{"big":-98765432109876543210.5},"eventType":"Microsoft.Storage.BlobCreated"}`,
  adyen: (n) => `{ "NotificationRequestItem":{"additionalData":{"hmacSignature":"x"},"amount":{"currency":"EUR","value":12345678901234567890},"eventCode":"AUTHORISATION","merchantAccountCode":"M","merchantReference":"a:b","pspReference":"A${n}","success":"true"} }`,
  cloudevents: (n) => `{"specversion":"1.0", "type":"com.example.made","id":"C${n}","source":"/orders","data":{"n":1E-999}}`,
  list: (n, type = 't') => `{ "type":"${type}" ,"n":${n}00000000000000000000,"id":"P${n}" }`,
};
const NAME = {
  hubspot: (n) => [`1:${n}:12345678901234567890:176936798000${n}`, 'contact.creation'],
  sendgrid: (n) => [`S${n}`, 'open'],
  okta: (n) => [`O${n}`, 'user.session.start'],
  line: (n) => [`L${n}`, 'message'],
  'azure-event-grid': (n) => [`G${n}`, 'Microsoft.Storage.BlobCreated'],
  adyen: (n) => [`A${n}:AUTHORISATION:true`, 'AUTHORISATION'],
  cloudevents: (n) => [`/orders:C${n}`, 'com.example.made'],
  list: (n, type = 't') => [`P${n}`, type],
};
const AROUND = { okta: ['{"eventId":"1", "data":{"events":', '}}'], line: ['{"destination":"[U1", "events" :', ',"more":[{}] }'], adyen: ['{"live":"false","notificationItems":', '}'], list: ['{"about":[{"id":"not this"}],"list":', '}\n'] };
const PRESETS = Object.keys(ELEMENT).filter((name) => name !== 'list');
const QUIET = ['okta', 'adyen']; // their acknowledgement says nothing of ours

const list = { ...plain, path: '/list', events: { array: '/list', id: { json: '/id' }, type: { json: '/type' } } };
delete list.event_id;
delete list.event_type;

const wrapped = (name, elements) => {
  const [before, after] = AROUND[name] ?? [' ', '\r\n'];
  return `${before}[ ${elements.join(' ,\n')} ]${after}`;
};

// A service with the presets that are named and the source `list`; hook.batch(name, elements) sends them in one request.
async function withBatches(t, { presets = [], sources: more = {}, ...options } = {}) {
  const hook = await prepare(t, options);
  const sources = { list, ...more };
  const keys = {};
  for (const row of parameters.filter(({ name }) => presets.includes(name))) {
    keys[row.name] = await makeKey(row, 'ours');
    const { config } = Letter.of(row, keys[row.name]);
    sources[row.name] = await sourceOf(hook, row.name, { ...keys[row.name].settings, config });
  }
  hook.letter = (name, body) => {
    const letter = Letter.of(parameters.find((row) => row.name === name), keys[name]).dated(Date.now()).withBody(body);
    return (name === 'cloudevents' ? letter.withHeader('Content-Type', 'application/cloudevents-batch+json; charset=utf-8') : letter).signed();
  };
  hook.whole = async (name, body) => {
    if (!keys[name]) return hook.send(name, { body: Buffer.from(body) });
    const { method, target, headers, body: bytes } = hook.letter(name, body);
    const answer = await hook.request({ method, target, headers, body: bytes });
    return Object.assign(answer, { sent: { body: bytes } });
  };
  hook.batch = (name, elements) => hook.whole(name, wrapped(name, elements));
  hook.keys = keys;
  await hook.configure({ sources });
  await hook.start();
  warnedOnly(hook);
  return hook;
}

// [result, events, new] of the answer, where the preset lets it be said.
const told = ({ json }) => [json?.result, json?.events, json?.new];
const stored = async (hook, source) => (await hook.sql(`select event_id, type, hex(body) as body from events where source = '${source}' order by seq`)).map((row) => [row.event_id, row.type, Buffer.from(row.body ?? '', 'hex').toString()]);
const requests = (hook) => hook.sql('select id, source, events, hex(body) as body from hooklatch_request order by id');

describe('batch', { timeout: 180_000, concurrency: 3 }, () => {
  it('each element becomes an event of its own, with its very bytes, and the whole is kept once', async (t) => {
    const copy = recorder({ on: ['*/*'], then: 'cat >"$dir/copy-$HOOKLATCH_SEQUENCE"' });
    const hook = await withBatches(t, { presets: PRESETS, handlers: { copy } });
    for (const name of [...PRESETS, 'list']) {
      const answer = await hook.batch(name, [1, 2, 3].map((n) => ELEMENT[name](n)));
      assert.equal(answer.result, 'accepted', `${name} ${answer.text}`);
      if (!QUIET.includes(name)) assert.deepEqual(told(answer), ['accepted', 3, 3], name);
      const sent = answer.sent.body.toString();
      const rows = await stored(hook, name);
      assert.deepEqual(rows.map(([id, type]) => [id, type]), [1, 2, 3].map((n) => NAME[name](n)), name);
      if (name !== 'adyen') assert.deepEqual(rows.map(([, , body]) => body), [1, 2, 3].map((n) => ELEMENT[name](n)), name);
      for (const [, , body] of rows) assert.ok(sent.includes(body), `${name}: ${body} is not what was sent`);
      const whole = (await requests(hook)).filter(({ source }) => source === name);
      assert.deepEqual(whole.map(({ events, body }) => [events, body]), [[3, answer.sent.body.toString('hex').toUpperCase()]], name);
      const parts = await hook.sql(`select seq, position from hooklatch_request_event where request = ${whole[0].id} order by position`);
      const seqs = await hook.sql(`select seq from events where source = '${name}' order by seq`);
      assert.deepEqual(parts, seqs.map(({ seq }, position) => ({ seq, position })), name);
      const [second] = [NAME[name](2)[0]];
      const shown = await hook.json('events', 'show', `${name}/${second}`);
      assert.deepEqual(shown.request, { id: whole[0].id, position: 1, events: 3, size: answer.sent.body.length }, name);
    }
    await hook.idle();
    for (const { seq, body } of await hook.sql('select seq, hex(body) as body from events')) {
      assert.equal((await readFile(hook.path(`copy-${seq}`))).toString('hex').toUpperCase(), body, 'a handler gets the element');
    }
  });

  it('cloudevents comes in three modes, told by the content type', async (t) => {
    const hook = await withBatches(t, { presets: ['cloudevents'] });
    const send = async (type, body, headers = {}) => {
      let letter = hook.letter('cloudevents', body).withHeader('Content-Type', type);
      for (const [name, value] of Object.entries(headers)) letter = letter.withHeader(name, value);
      const { method, target, headers: all, body: bytes } = letter;
      return hook.request({ method, target, headers: all, body: bytes });
    };
    const none = { 'ce-id': null, 'ce-source': null, 'ce-type': null };
    const structured = '{ "id":"s1","source":"/orders", "type":"a" , "data":12345678901234567890}\n';
    assertAnswer(await send('application/cloudevents+json; charset=utf-8', structured, none), 'accepted');
    assertAnswer(await send('APPLICATION/CloudEvents+JSON', '{"id":"s2","source":"/orders","type":"a"}', none), 'accepted');
    assertAnswer(await send('application/octet-stream', '\u0001binary', { 'ce-id': 'b1', 'ce-source': '/orders', 'ce-type': 'b' }), 'accepted');
    assertAnswer(await send('application/cloudevents+json', '[{"id":"x","source":"/orders"}]', none), 'malformed');
    assertAnswer(await send('application/cloudevents-batch+json', structured, none), 'malformed');
    assertAnswer(await send('application/json', structured, none), 'malformed', 'no mode: nothing names it');
    assert.deepEqual(await stored(hook, 'cloudevents'), [['/orders:s1', 'a', structured], ['/orders:s2', 'a', '{"id":"s2","source":"/orders","type":"a"}'], ['/orders:b1', 'b', '\u0001binary']]);
    assert.deepEqual(await requests(hook), [], 'one event is no request with several');
    assert.equal((await hook.json('events', 'show', 'cloudevents//orders:s1')).request, undefined);
  });

  it('a CloudEvent without id or source has no identity, whatever the mode', async (t) => {
    const hook = await withBatches(t, { presets: ['cloudevents'] });
    const binary = hook.letter('cloudevents', '1').withHeader('Content-Type', 'application/json');
    for (const letter of [
      binary.withHeader('ce-id', null), binary.withHeader('ce-source', ''),
      binary.withHeader('Content-Type', 'application/cloudevents+json').withBody('{"source":"/orders","type":"t"}'),
      binary.withHeader('Content-Type', 'application/cloudevents-batch+json').withBody('[{"source":"/orders","type":"t"},{"source":"/orders","type":"u"}]'),
    ]) {
      const { method, target, headers, body } = letter;
      assertAnswer(await hook.request({ method, target, headers, body }), 'malformed', body.toString());
    }
  });

  it('two notifications of WhatsApp that name no message are not taken for one', async (t) => {
    const hook = await withBatches(t, { presets: ['whatsapp'] });
    for (const field of ['account_update', 'message_template_status_update']) {
      const { method, target, headers, body } = hook.letter('whatsapp', JSON.stringify({ object: 'whatsapp_business_account', entry: [{ id: '1', changes: [{ field, value: { event: field } }] }] }));
      const answer = await hook.request({ method, target, headers, body });
      assertAnswer(answer, 'accepted', field);
    }
  });

  it('all or none: one element without an id refuses the request', async (t) => {
    const hook = await withBatches(t, { presets: PRESETS });
    const bad = { hubspot: '{"subscriptionType":"x"}', adyen: null, cloudevents: '{"type":"x"}' };
    for (const name of [...PRESETS, 'list']) {
      for (const without of [bad[name] === undefined ? '{"type":"t"}' : bad[name], '{}', '1', 'null', '[]', '"text"', '{"id":1']) {
        if (without === null || name === 'adyen') continue; // its items are signed by their fields: mismatch
        const answer = await hook.batch(name, [ELEMENT[name](1), without, ELEMENT[name](2)]);
        assertAnswer(answer, 'malformed', `${name} ${without}`);
      }
      if (name !== 'adyen') {
        const [before, after] = AROUND[name] ?? ['', ''];
        for (const body of [`${before}{}${after}`, `${before}[${ELEMENT[name](1)},]${after}`, `${before}[${ELEMENT[name](1)}`, `${before}[${ELEMENT[name](1)} ${ELEMENT[name](2)}]${after}`]) {
          assertAnswer(await hook.whole(name, body), 'malformed', `${name} ${body}`);
        }
      }
    }
    for (const id of ['""', 'null', 'true', '{}', `"${'x'.repeat(513)}"`, '"a\\u0000b"', '"\\ud800"']) {
      assertAnswer(await hook.batch('list', [ELEMENT.list(1), `{"id":${id}}`]), 'malformed', id);
    }
    assert.deepEqual([await hook.count('events'), await hook.count('hooklatch_request'), await hook.count('hooklatch_request_event')], [0, 0, 0]);
  });

  it('a repeat is recognised event by event, however it is grouped', async (t) => {
    const hook = await withBatches(t, { presets: PRESETS });
    for (const name of [...PRESETS, 'list']) {
      const groups = [[[1, 2], 'accepted', 2], [[2, 1], 'duplicate', 0], [[2, 3], 'accepted', 1], [[1], 'duplicate', 0], [[4], 'accepted', 1], [[1, 2, 3, 4, 5], 'accepted', 1], [[5, 4, 3], 'duplicate', 0]];
      for (const [members, word, fresh] of groups) {
        const answer = await hook.batch(name, members.map((n) => ELEMENT[name](n)));
        assert.equal(answer.result, word, `${name} ${members}`);
        if (!QUIET.includes(name)) {
          assert.deepEqual(told(answer), [word, members.length, fresh], `${name} ${members}`);
          assert.equal(answer.state, word === 'duplicate' ? 'unrouted' : undefined);
        }
      }
      assert.deepEqual((await stored(hook, name)).map(([id]) => id), [1, 2, 3, 4, 5].map((n) => NAME[name](n)[0]), name);
    }
    const answer = await hook.batch('list', [6, 6, 6].map((n) => ELEMENT.list(n)));
    assert.deepEqual(told(answer), ['accepted', 3, 1], 'the same id three times in one request');
    assert.equal(await hook.count('events', "event_id = 'P6'"), 1);
    const kept = (await requests(hook)).filter(({ source }) => source === 'list');
    assert.deepEqual(kept.map(({ events }) => events), [2, 2, 1, 5, 3], 'what brought nothing new is not kept');
    const stats = await hook.stats();
    assert.deepEqual([stats.accepted, stats.duplicates], [8 * 5 + 1, 8 * (2 + 1 + 1 + 4 + 3) + 2]);
  });

  it('what is dead is revived, and new beside it is accepted', async (t) => {
    const dies = recorder({ on: ['list/t'], then: 'exit 65' });
    const hook = await withBatches(t, { handlers: { dies } });
    assert.deepEqual(told(await hook.batch('list', [1, 2].map((n) => ELEMENT.list(n)))), ['accepted', 2, 2]);
    for (const n of [1, 2]) await hook.settled(`list/P${n}`, { state: 'dead' });
    assert.deepEqual(told(await hook.batch('list', [ELEMENT.list(2)])), ['revived', 1, 0]);
    await hook.settled('list/P2', { state: 'dead' });
    assert.deepEqual(told(await hook.batch('list', [ELEMENT.list(9, 'nobody')])), ['accepted', 1, 1]);
    assert.deepEqual(told(await hook.batch('list', [ELEMENT.list(9, 'nobody'), ELEMENT.list(2)])), ['revived', 2, 0], 'one that was not dead comes first');
    await hook.settled('list/P2', { state: 'dead' });
    assert.deepEqual(told(await hook.batch('list', [1, 3].map((n) => ELEMENT.list(n)))), ['accepted', 2, 1]);
    for (const n of [1, 2, 3]) await hook.settled(`list/P${n}`, { state: 'dead' });
    const runs = await Promise.all([1, 2, 3].map((n) => dies.runs(`P${n}`)));
    assert.deepEqual(runs, [2, 3, 1]);
  });

  it('an empty array is no error', async (t) => {
    const hook = await withBatches(t, { presets: ['hubspot', 'sendgrid', 'okta', 'azure-event-grid', 'cloudevents'] });
    for (const name of ['hubspot', 'sendgrid', 'okta', 'azure-event-grid', 'cloudevents', 'list']) {
      const answer = await hook.batch(name, []);
      assert.deepEqual([answer.status, answer.result], [name === 'okta' ? 204 : 200, 'ignored'], name);
    }
    assert.equal(await hook.count('events'), 0);
    assert.equal(await hook.count('hooklatch_request'), 0);
  });

  it('10 000 events are taken at once, one more is too large', async (t) => {
    const hook = await withBatches(t);
    const many = (count) => Array.from({ length: count }, (_, n) => `{"id":"m${n}"}`);
    assertAnswer(await hook.batch('list', many(10_001)), 'body_too_large');
    assert.equal(await hook.count('events'), 0);
    assert.deepEqual(told(await hook.batch('list', many(10_000))), ['accepted', 10_000, 10_000]);
    assert.deepEqual(told(await hook.batch('list', many(10_000))), ['duplicate', 10_000, 0]);
    assert.equal(await hook.count('events'), 10_000);
    assert.equal(await hook.count('hooklatch_request'), 1);
    assert.equal((await hook.sql('select min(position) as a, max(position) as z, count(distinct position) as n from hooklatch_request_event'))[0].n, 10_000);
  });

  it('`types:` chooses event by event', async (t) => {
    const hook = await withBatches(t, { sources: { list: { ...list, types: ['a', 'b*'] } } });
    const answer = await hook.batch('list', [ELEMENT.list(1, 'z'), ELEMENT.list(2, 'a'), ELEMENT.list(3, 'bb'), ELEMENT.list(4, 'A')]);
    assert.deepEqual([answer.result, answer.json.new], ['accepted', 2]);
    assert.deepEqual((await stored(hook, 'list')).map(([id]) => id), ['P2', 'P3']);
    const unwanted = await hook.batch('list', [ELEMENT.list(5, 'z')]);
    assertAnswer(unwanted, 'ignored');
    const [whole] = await requests(hook);
    assert.equal(whole.events, 4, 'the request held four');
    assertAnswer(await hook.batch('list', [ELEMENT.list(6, 'z'), '{"type":"z"}']), 'malformed', 'an id is needed all the same');
  });

  it('the place of an event in its request counts those that were not wanted', async (t) => {
    const hook = await withBatches(t, { sources: { list: { ...list, types: ['a'] } } });
    await hook.batch('list', [ELEMENT.list(1, 'z'), ELEMENT.list(2, 'z'), ELEMENT.list(3, 'a')]);
    assert.equal((await hook.json('events', 'show', 'list/P3')).request.position, 2);
  });

  it('what a request holds and the source does not want is counted as ignored', async (t) => {
    const hook = await withBatches(t, { sources: { list: { ...list, types: ['a'] } } });
    await hook.batch('list', [ELEMENT.list(1, 'z'), ELEMENT.list(2, 'a'), ELEMENT.list(3, 'z')]);
    const { accepted, ignored } = await hook.stats();
    assert.deepEqual({ accepted, ignored }, { accepted: 1, ignored: 2 });
  });

  it('each preset is acknowledged as it insists', async (t) => {
    const names = ['adyen', 'okta', 'discord-interactions', 'discord-events', 'twilio', 'hubspot'];
    const hook = await withBatches(t, { presets: names, sources: { quiet: { ...list, path: '/quiet', ack: { status: 202, body: '' } } } });
    const forms = { adyen: [200, 'text/plain', '[accepted]'], okta: [204, undefined, ''], 'discord-interactions': [200, 'application/json', '{"type":5}'], 'discord-events': [204, undefined, ''], twilio: [204, undefined, ''] };
    for (const [name, [status, type, text]] of Object.entries(forms)) {
      const letter = Letter.of(parameters.find((row) => row.name === name), hook.keys[name]).dated(Date.now()).signed();
      for (const word of ['accepted', 'duplicate']) {
        const answer = await hook.request(letter);
        assert.deepEqual([answer.result, answer.status, answer.text], [word, status, text], name);
        if (type) assert.equal(answer.header('content-type').split(';')[0], type, name);
        if (status === 204) assert.equal(answer.header('content-length') ?? '0', '0', name);
      }
      const refused = await hook.request(letter.withBody(letter.body).withHeader('X-Nothing', 'x').signed({ key: (await makeKey(letter.row, 'others')).key }));
      assertAnswer(refused, 'signature_mismatch', `${name}: refusals are ours`);
    }
    const quiet = await hook.whole('quiet', wrapped('list', [ELEMENT.list(1)]));
    assert.deepEqual([quiet.result, quiet.status, quiet.text], ['accepted', 202, '']);
  });

  it('the whole request goes with the first body that is erased', async (t) => {
    const hook = await withBatches(t);
    await hook.batch('list', [1, 2].map((n) => ELEMENT.list(n)));
    await hook.batch('list', [3, 4].map((n) => ELEMENT.list(n)));
    const before = await requests(hook);
    assert.deepEqual(before.map(({ events }) => events), [2, 2]);
    await hook.ok('events', 'erase', 'list/P1', '--yes');
    const after = await requests(hook);
    assert.deepEqual(after.map(({ body }) => body), ['', before[1].body], 'its bytes are in the whole too');
    assert.equal((await hook.event('list/P2')).body.toString(), ELEMENT.list(2), 'the other one stays');
    const shown = await hook.json('events', 'show', 'list/P2');
    assert.deepEqual([shown.request.events, shown.request.size], [2, null]);
  });

  it('purged bodies take the whole along, purged events its row', async (t) => {
    const hook = await withBatches(t, { retention: { dedup: '1h', bodies: '1s' } });
    await hook.batch('list', [1, 2].map((n) => ELEMENT.list(n)));
    await until('the whole body to be gone', async () => (await hook.count('hooklatch_request', 'body is not null')) === 0);
    assert.deepEqual([await hook.count('hooklatch_request'), await hook.count('hooklatch_request_event'), await hook.count('events')], [1, 2, 2]);
    assert.deepEqual(told(await hook.batch('list', [ELEMENT.list(1)])), ['duplicate', 1, 0]);
    await hook.reload({ retention: '1s' });
    await until('all of it to be gone', async () => (await hook.count('events')) === 0);
    assert.deepEqual([await hook.count('hooklatch_request'), await hook.count('hooklatch_request_event')], [0, 0]);
  });

  it('the row of a request stays as long as one of its events', async (t) => {
    const dies = recorder({ on: ['list/d'], then: 'exit 65' });
    const hook = await withBatches(t, { handlers: { dies }, retention: '1s' });
    await hook.batch('list', [ELEMENT.list(1), ELEMENT.list(2, 'd'), ELEMENT.list(3)]);
    await hook.settled('list/P2', { state: 'dead' });
    await until('the others to be gone', async () => (await hook.count('events')) === 1);
    assert.equal((await requests(hook)).length, 1);
    assert.deepEqual((await hook.sql('select position from hooklatch_request_event')), [{ position: 1 }]);
    assert.equal((await hook.json('events', 'show', 'list/P2')).request.events, 3);
    await hook.ok('dead', 'discard', 'list/P2', '--reason', 'a test');
    await until('all of it to be gone', async () => (await hook.count('events')) === 0);
    assert.deepEqual([await hook.count('hooklatch_request'), await hook.count('hooklatch_request_event')], [0, 0]);
  });

  it('a disk that is full amid a batch takes nothing of it, and later all', async (t) => {
    const hook = await withBatches(t);
    const members = (name) => Array.from({ length: 50 }, (_, n) => `{"id":"${name}-${n}","pad":"${'x'.repeat(1000)}"}`);
    assert.deepEqual(told(await hook.batch('list', members('before'))), ['accepted', 50, 50]);
    const { size } = await stat(`${hook.database}-wal`);
    for (const [number, room] of [1, 20_000, 60_000].entries()) { // the log ends before, in, and near the end of the next batch
      await run('prlimit', ['--pid', String(hook.pid), `--fsize=${size + room}:unlimited`]);
      assertAnswer(await hook.batch('list', members(`full${number}`)), 'store_unavailable', `${room}`);
      assert.equal(await hook.count('events'), 50);
    }
    await run('prlimit', ['--pid', String(hook.pid), '--fsize=unlimited:unlimited']);
    await until('it to recover', async () => (await hook.batch('list', members('full0'))).status === 200);
    for (const name of ['full1', 'full2']) assert.deepEqual(told(await hook.batch('list', members(name))), ['accepted', 50, 50]);
    const kept = await hook.sql('select r.events, count(e.seq) as n from hooklatch_request r left join hooklatch_request_event e on e.request = r.id group by r.id');
    assert.deepEqual(kept, Array.from({ length: 4 }, () => ({ events: 50, n: 50 })));
    assert.equal(await hook.count('events'), 200);
  });

  it('SIGKILL amid many batches: what was acknowledged is there whole, of the rest no half', async (t) => {
    const hook = await withBatches(t);
    const size = 40;
    const batches = new Map(); // the first id → acknowledged
    for (let round = 0; round < 3; round++) {
      const goal = [...batches.values()].filter(Boolean).length + 25;
      const lanes = spread(Array.from({ length: 8 }), 8, async () => {
        for (;;) {
          const name = randomUUID();
          batches.set(name, false);
          const answer = await hook.batch('list', Array.from({ length: size }, (_, n) => `{"id":"${name}-${n}","type":"t"}`)).catch(() => null);
          if (!answer) return;
          assert.deepEqual(told(answer), ['accepted', size, size]);
          batches.set(name, true);
        }
      });
      await until('some load', () => [...batches.values()].filter(Boolean).length > goal, { every: 2 });
      await hook.kill();
      await lanes;
      await hook.start();
    }
    const counts = new Map((await hook.sql('select substr(event_id, 1, 36) as name, count(*) as n from events group by 1')).map(({ name, n }) => [name, n]));
    for (const [name, acknowledged] of batches) {
      const found = counts.get(name) ?? 0;
      assert.ok(found === size || (found === 0 && !acknowledged), `${found} of ${size} events of a batch that was ${acknowledged ? '' : 'not '}acknowledged`);
    }
    const whole = await hook.sql('select r.id, r.events, count(*) as n from hooklatch_request r join hooklatch_request_event e on e.request = r.id join events on events.seq = e.seq group by r.id');
    assert.ok(whole.every(({ events, n }) => events === size && n === size));
    assert.equal(whole.length, counts.size);
    assert.equal(await hook.count('hooklatch_request'), counts.size);
    // What was not acknowledged comes again and is recognised, or is new, as a whole.
    for (const [name, acknowledged] of batches) {
      if (acknowledged) continue;
      const answer = await hook.batch('list', Array.from({ length: size }, (_, n) => `{"id":"${name}-${n}","type":"t"}`));
      assert.deepEqual(told(answer), counts.has(name) ? ['duplicate', size, 0] : ['accepted', size, size]);
    }
    assert.equal(await hook.count('events'), batches.size * size);
  });
});
