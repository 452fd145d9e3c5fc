// providers [NAME]: the table, and each preset's page, whose block is a configuration that works.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { prepare, spread } from './hook.mjs';
import { completeBlock, filled, NAMES, parameterOf } from './preset.mjs';
import { parameters } from './vector.mjs';

const bare = { bare: true };
const COLUMNS = ['name', 'title', 'scheme', 'event_id', 'body_signed', 'time_signed', 'id_signed', 'retries', 'challenge'];

// What the signature covers, from the parameters: a sum that anybody can make again for another body (CRC-32) covers nothing.
function covered({ name, scheme, signed_template: template, timestamp, event_id: id, multi_event: several }) {
  if (scheme === 'token' || name === 'adyen') return { body: false, time: false, id: false };
  if (name === 'aws-sns') return { body: true, time: timestamp.tolerance_s !== undefined, id: true };
  if (name === 'plaid') return { body: true, time: true, id: false };
  const body = /\{body\}|\{sorted_form_params\}|bodySHA256/.test(template);
  const time = (/\{timestamp\}/.test(template) || /\{signed_headers:/.test(template) || (timestamp.from === 'json' && body)) && timestamp.tolerance_s !== undefined;
  const where = several?.event_id ?? id;
  const inBody = ['json', 'composite'].includes(where.from);
  return { body, time, id: inBody ? body : where.from === 'header' && /\{id\}/.test(template) };
}

// What stands in the column of a value.
function shown({ from, name, pointer, parts }) {
  return from === 'header' ? name : from === 'json' ? pointer : from === 'composite' ? parts.map((part) => part.pointer ?? part.name).join(' + ') : from === 'generated' ? 'none (generated)' : undefined;
}

async function table(t) {
  const hook = await prepare(t);
  return { hook, rows: await hook.json('providers', bare) };
}

const page = (hook, name) => hook.ok('providers', name, bare);

// The lines of a page's block, without the indentation of the page.
function blockOf(text) {
  const [, block] = /\n\nIn hooklatch\.yaml \(or: hooklatch init \S+\):\n\n((?: {4}.*\n)+)$/.exec(text) ?? [];
  assert.ok(block, `no block at the end of the page\n${text}`);
  return filled(block.replace(/^ {4}/gm, ''));
}

describe('providers', { timeout: 180_000, concurrency: 2 }, () => {
  it('--json is every preset and hmac, each once, with the same keys', async (t) => {
    const { rows } = await table(t);
    assert.deepEqual(rows.map(({ name }) => name).sort(), [...NAMES, 'hmac'].sort());
    for (const row of rows) {
      for (const key of ['name', 'title', 'scheme', 'signature_header', 'event_id', 'event_type', 'retries', 'docs']) {
        assert.equal(typeof row[key], 'string', `${key} of ${row.name}`);
        assert.notEqual(row[key], '', `${key} of ${row.name}`);
      }
      for (const key of ['body_signed', 'time_signed', 'id_signed', 'several_events']) assert.equal(typeof row[key], 'boolean', `${key} of ${row.name}`);
      if (row.name !== 'hmac') assert.match(row.docs, /^https:\/\/\S+$/, row.name);
    }
    const keys = (row) => Object.keys(row).sort();
    for (const row of rows) assert.deepEqual(keys(row), keys(rows[0]), `keys of ${row.name}`);
  });

  it('--jsonl and the plain table have the same rows', async (t) => {
    const { hook, rows } = await table(t);
    const lines = (await hook.ok('providers', '--jsonl', bare)).split('\n');
    assert.equal(lines.pop(), '');
    assert.deepEqual(lines.map((line) => JSON.parse(line)), rows);
    const cells = (await hook.ok('providers', bare)).split('\n').slice(0, -1).map((line) => line.split('\t'));
    assert.deepEqual(cells, rows.map((row) => COLUMNS.map((key) => String(row[key] ?? ''))));
  });

  it('what is signed is what the parameters say', async (t) => {
    const { rows } = await table(t);
    const wrong = [];
    for (const row of rows.filter(({ name }) => name !== 'hmac')) {
      const { body, time, id } = covered(parameterOf(row.name));
      const told = [row.body_signed, row.time_signed, row.id_signed];
      if (String(told) !== String([body, time, id])) wrong.push(`${row.name}: body, time, id are ${told}, not ${[body, time, id]}`);
    }
    assert.deepEqual(wrong, []);
  });

  it('header, id, type, tolerance and several events are what the parameters say', async (t) => {
    const { rows } = await table(t);
    const wrong = [];
    const same = (name, key, told, wanted) => told === wanted || wrong.push(`${name}: ${key} is ${told}, not ${wanted}`);
    for (const row of rows.filter(({ name }) => name !== 'hmac')) {
      const parameter = parameterOf(row.name);
      const several = parameter.event_id.from === 'per_item';
      const signature = parameter.signature_header;
      if (signature) same(row.name, 'signature_header', row.signature_header, signature);
      same(row.name, 'several_events', row.several_events, several);
      const id = shown(several ? parameter.multi_event.event_id : parameter.event_id);
      same(row.name, 'event_id', row.event_id, id);
      if (row.time_signed) same(row.name, 'tolerance_seconds', row.tolerance_seconds, parameter.timestamp.tolerance_s);
      else same(row.name, 'tolerance_seconds', row.tolerance_seconds, null);
    }
    assert.deepEqual(wrong, []);
  });

  it('a preset’s row can be had alone', async (t) => {
    const { hook, rows } = await table(t);
    const wrong = [];
    await spread(rows.filter(({ name }) => name !== 'hmac'), 2, async (row) => {
      for (const option of ['--json', '--jsonl']) {
        const { code, stdout } = await hook.cli('providers', row.name, option, bare);
        const lines = stdout.split('\n').length - 1;
        if (code !== 0 || JSON.stringify(JSON.parse(stdout)) !== JSON.stringify(row)) wrong.push(`${row.name} ${option}: exit ${code}\n${stdout}`);
        if (option === '--jsonl' && lines !== 1) wrong.push(`${row.name} --jsonl: ${lines} lines`);
      }
    });
    assert.deepEqual(wrong, []);
  });

  it('hmac has a page of its own, like every name of the table', async (t) => {
    const hook = await prepare(t);
    assert.match(await page(hook, 'hmac'), /signature/);
  });

  it('every page has steps, retries, answers and what the table says', async (t) => {
    const { hook, rows } = await table(t);
    const wrong = [];
    await spread(rows.filter(({ name }) => name !== 'hmac'), 2, async (row) => {
      const text = await page(hook, row.name);
      const yes = (flag) => (flag ? 'yes' : 'NO');
      for (const [what, wanted] of Object.entries({
        title: `${row.name}: ${row.title}\n${row.docs}\n`,
        'what is covered': `It covers:    body ${yes(row.body_signed)}, time ${yes(row.time_signed)}, event id ${yes(row.id_signed)}\n`,
        signature: `Signature:    ${row.scheme} in ${row.signature_header}\n`,
        id: `Event id:     ${row.event_id}\n`,
        type: `Type:         ${row.event_type}\n`,
      })) if (!text.includes(wanted)) wrong.push(`${row.name}: ${what}\n${text}`);
      for (const [what, wanted] of Object.entries({
        steps: /\n\nAt the provider:\n(?: {2}- \S.*\n)+\n/,
        secret: /^Secret: {7}\S/m,
        retries: /^Retries: {6}\S/m,
        redelivery: /^Redelivery: {3}\S/m,
        answers: new RegExp(`\nWhat ${row.name} makes of our answers:\n {2}\\S.*\n(?: {2}\\S.*\n)+`),
        'the words of our answers': /accepted, duplicate, revived, ignored|Hooklatch-Result/,
        'no word that is printf’s or empty': /^(?![^]*(?:\(null\)|%s|undefined))/,
      })) if (!wanted.test(text)) wrong.push(`${row.name}: ${what}\n${text}`);
      if (/^Time:/m.test(text) !== row.time_signed) wrong.push(`${row.name}: the time's tolerance\n${text}`);
      if (/^Check:/m.test(text) !== ![null, '-'].includes(row.challenge)) wrong.push(`${row.name}: the endpoint check\n${text}`);
    });
    assert.deepEqual(wrong, []);
  });

  it('every page’s block is a configuration that config check accepts', async (t) => {
    const hook = await prepare(t);
    const wrong = [];
    for (const name of NAMES) {
      const block = blockOf(await page(hook, name));
      const listen = 'listen: [ { https: "127.0.0.1:0", certificate: tls/cert.pem, key: tls/key.pem } ]\n';
      await writeFile(hook.file, listen + block);
      await completeBlock(hook, name, block);
      const { code, text } = await hook.cli('config', 'check');
      if (code !== 0) {
        wrong.push(`${name}: exit ${code}\n${text}${block}`);
        continue;
      }
      const { sources, handlers } = await hook.json('config', 'show');
      if (Object.keys(sources).join() !== name || sources[name].provider.value !== name || Object.keys(handlers).length !== 1) wrong.push(`${name}: ${JSON.stringify(sources)}`);
    }
    assert.deepEqual(wrong, []);
  });

  it('the blocks of all presets go into one file', async (t) => {
    const hook = await prepare(t);
    const sources = [];
    await spread(NAMES, 2, async (name) => {
      const block = blockOf(await page(hook, name));
      sources.push(block.split('handlers:\n')[0].replace('sources:\n', ''));
      await completeBlock(hook, name, block);
    });
    await writeFile(hook.file, `listen: [ { https: "127.0.0.1:0", certificate: tls/cert.pem, key: tls/key.pem } ]\nsources:\n${sources.join('')}handlers: { note: { on: [ "*/*" ], log: {} } }\n`);
    const { code, text } = await hook.cli('config', 'check');
    assert.equal(code, 0, text);
    assert.equal(Object.keys((await hook.json('config', 'show')).sources).length, parameters.length);
  });

  it('mollie-classic is named with the reason and the way out', async (t) => {
    const hook = await prepare(t);
    const reason = /mollie-classic\b.*unsigned by design.*Way out: .*preset mollie\b/;
    const list = await hook.cli('providers', bare);
    assert.equal(list.code, 0);
    assert.match(list.stderr, reason, 'under the table');
    assert.ok(!list.stdout.includes('mollie-classic'), 'it is no row');
    for (const args of [[], ['--json'], ['--jsonl']]) {
      const { code, stdout, stderr } = await hook.cli('providers', 'mollie-classic', ...args, bare);
      assert.equal(code, 3, stderr);
      assert.equal(stdout, '');
      assert.match(stderr, reason);
    }
    await hook.configureText('sources:\n  m: { path: /m, provider: mollie-classic, secrets: [ { env: X } ] }\nhandlers: {}\n');
    const { code, stderr } = await hook.cli('config', 'check');
    assert.equal(code, 2);
    assert.match(stderr, /hooklatch\.yaml:2:\d+: error: provider: .*unsigned by design.*preset mollie\b/);
  });

  it('a name that is none is exit 3, two names are exit 2', async (t) => {
    const hook = await prepare(t);
    const { code, stdout, stderr } = await hook.cli('providers', 'gitub', bare);
    assert.deepEqual([code, stdout], [3, '']);
    assert.match(stderr, /"gitub"/);
    assert.equal((await hook.cli('providers', 'github', 'stripe', bare)).code, 2);
  });
});
