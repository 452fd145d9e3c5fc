// Every known answer of every preset: through the real service over TLS, and through `hooklatch verify`.
import assert from 'node:assert/strict';
import { copyFile, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { Clock } from './clock.mjs';
import { elements } from './element.mjs';
import { prepare, spread, STATUS, until } from './hook.mjs';
import { ACK_BODY, ACK_STATUS, bodyOf, parameters, providers, settingsKey, sourceOf, warnedOnly } from './vector.mjs';

const arrays = new Map(parameters.map(({ name, multi_event: several }) => [name, several?.array]));
const idsOf = (vector) => (vector.events ?? []).map(({ id }) => id).concat(vector.event_id ?? []);

// Vectors that can be asked of one configuration: one source a provider, whose vectors agree on its keys and store no id twice.
function rounds() {
  const made = [];
  for (const { name, vectors } of providers) {
    const sources = [];
    for (const vector of vectors) {
      const ids = vector.result === 'accepted' ? idsOf(vector) : [];
      let source = sources.find(({ key, taken }) => key === settingsKey(vector) && !ids.some((id) => taken.has(id)));
      if (!source) sources.push((source = { provider: name, key: settingsKey(vector), taken: new Set(), vectors: [] }));
      for (const id of ids) source.taken.add(id);
      source.vectors.push(vector);
    }
    sources.forEach((source, round) => (made[round] ??= []).push({ ...source, name: `${name}_${round}` }));
  }
  return made;
}

function assertReply(answer, { status, content_type: type, body, body_json: json, body_contains: part, headers = {} }) {
  assert.equal(answer.status, status);
  if (type) assert.equal(answer.header('content-type').split(';')[0], type);
  if (body !== undefined) assert.equal(answer.text, body);
  if (json) assert.deepEqual(JSON.parse(answer.text), json);
  if (part) assert.ok(answer.text.includes(part), answer.text);
  for (const [name, value] of Object.entries(headers)) assert.equal(answer.header(name), value, name);
}

function assertAnswered(provider, vector, answer) {
  const { result, also_ok: also = [], response, events } = vector;
  assert.ok([result, ...also].includes(answer.result), `${result}, not ${answer.result} ${answer.text}`);
  if (response) assertReply(answer, response);
  if (answer.result === 'accepted') {
    assert.equal(answer.status, ACK_STATUS[provider] ?? 200);
    if (provider in ACK_BODY) assert.equal(answer.text, ACK_BODY[provider]);
    else if (events) assert.deepEqual([answer.json.events, answer.json.new], [events.length, events.length]);
    else if (vector.event_id) assert.equal(answer.json.event_id, vector.event_id);
  } else if (answer.result !== 'challenge') {
    assert.equal(answer.status, STATUS[answer.result]);
    assert.equal(answer.json.result, answer.result);
  }
}

// What must be stored: [id or null, type, body] for each event.
function expectedOf(provider, vector, answer) {
  const body = bodyOf(vector.request);
  if (!vector.events) return [[vector.event_id ?? answer.json.event_id, vector.event_type ?? '', body]];
  const parts = elements(body, arrays.get(provider));
  assert.equal(parts.length, vector.events.length);
  return vector.events.map(({ id, type }, index) => [id, type ?? '', parts[index]]);
}

// A connection belongs to one of a few loops, whichever the kernel likes.
async function allKnow(hook, path) {
  for (let count = 0; count < 16; count++) {
    const connection = await hook.connect();
    const { status } = await hook.request({ connection, method: 'GET', target: path });
    connection.close();
    if (status !== 405) return false;
  }
  return true;
}

describe('vector', { timeout: 300_000 }, () => {
  it('every vector gets its answer from the service, and what is accepted is stored as it came', async (t) => {
    const hook = await prepare(t, { retention: '3650d' });
    const clock = new Clock(hook);
    t.after(() => clock.close());
    const wrong = [];
    const expected = [];
    let asked = 0;
    for (const [number, sources] of rounds().entries()) {
      const config = {};
      for (const { name, provider, vectors } of sources) {
        config[name] = await sourceOf(hook, provider, vectors[0]);
      }
      clock.run();
      if (number === 0) {
        await hook.configure({ sources: config });
        await hook.start({ env: clock.env });
        warnedOnly(hook);
      } else {
        // The loops take a new configuration one by one: a source that is new in it shows who has.
        const marker = { path: `/round-${number}`, provider: 'github', secrets: [{ text: 'a-secret-of-nobody' }] };
        const entry = await hook.reload({ sources: { ...config, marker } });
        assert.equal(entry.event, 'config.reloaded', entry.line);
        await until('all loops to know the new sources', () => allKnow(hook, marker.path));
      }
      for (const { name, provider, vectors } of sources) {
        for (const vector of vectors) {
          const { method, path: target, headers } = vector.request;
          clock.stand(vector.now * 1000);
          const answer = await hook.request({ method, target, headers, body: bodyOf(vector.request) });
          asked++;
          try {
            assertAnswered(provider, vector, answer);
            if (answer.result === 'accepted') for (const row of expectedOf(provider, vector, answer)) expected.push([vector.id, name, ...row]);
          } catch (error) {
            wrong.push(`${vector.id}: ${error.message}`);
          }
        }
      }
      clock.run();
    }
    assert.deepEqual(wrong, [], `${wrong.length} of ${asked} vectors`);
    assert.equal(asked, providers.reduce((sum, { vectors }) => sum + vectors.length, 0));

    const rows = await hook.sql('select source, event_id, type, hex(body) as body from events');
    const stored = new Map(rows.map((row) => [`${row.source}/${row.event_id}`, row]));
    for (const [vector, source, id, type, body] of expected) {
      const row = stored.get(`${source}/${id}`);
      assert.ok(row, `${vector}: ${source}/${id} is not in the store`);
      assert.equal(row.type, type, `${vector}: type of ${id}`);
      assert.equal(row.body, body.toString('hex').toUpperCase(), `${vector}: body of ${id}`);
    }
    assert.equal(rows.length, expected.length, 'and nothing else is stored');
    t.diagnostic(`${asked} vectors of ${providers.length} presets, ${expected.length} events stored`);
  });

  it('`hooklatch verify` says the same of every vector', async (t) => {
    const hook = await prepare(t);
    const files = new Map();
    const cases = [];
    for (const { name: provider, vectors } of providers) {
      for (const vector of vectors) {
        const key = `${provider} ${settingsKey(vector)}`;
        if (!files.has(key)) {
          await hook.configure({ sources: { s: await sourceOf(hook, provider, vector) } });
          const file = hook.path(`verify-${files.size}.yaml`);
          await copyFile(hook.file, file);
          files.set(key, file);
        }
        cases.push({ vector, file: files.get(key) });
      }
    }
    const wrong = [];
    await spread(cases, 3, async ({ vector, file }, index, lane) => {
      const { method, path: target, headers } = vector.request;
      await writeFile(hook.path(`headers-${lane}`), headers.map(([name, value]) => `${name}: ${value}\n`).join(''));
      await writeFile(hook.path(`body-${lane}`), bodyOf(vector.request));
      const { code, stdout, stderr } = await hook.cli('verify', '-c', file, '--source', 's', '--headers', hook.path(`headers-${lane}`), '--body', hook.path(`body-${lane}`),
        '--now', String(vector.now), '--method', method, '--target', target, '--json', { bare: true });
      try {
        assertReport(vector, JSON.parse(stdout), code);
      } catch (error) {
        wrong.push(`${vector.id}: ${error.message}\n${stdout}${stderr}`);
      }
    });
    assert.deepEqual(wrong, [], `${wrong.length} of ${cases.length} vectors`);
    t.diagnostic(`${cases.length} vectors through verify, ${files.size} configurations`);
  });
});

function assertReport(vector, report, code) {
  const word = vector.result === 'accepted' ? 'good' : vector.result;
  assert.ok([word, ...(vector.also_ok ?? [])].includes(report.result), `${word}, not ${report.result}`);
  assert.equal(code, ['good', 'challenge'].includes(report.result) ? 0 : 1, 'exit code');
  if (report.result !== 'good') return;
  if (vector.events) assert.deepEqual(report.events.map(({ event_id: id, type }) => [id, type]), vector.events.map(({ id, type }) => [id, type ?? '']));
  else {
    assert.equal(report.type, vector.event_type ?? '');
    if (vector.event_id) assert.equal(report.event_id, vector.event_id);
  }
  if (vector.matched_secret !== undefined && vector.matched_secret !== null) assert.equal(report.secret, vector.matched_secret + 1, 'which secret matched');
}
