// Every provider that has a library of its own on npm: what the library signs, or lets pass, is taken by the real program over TLS, and
// what `hooklatch sign` makes passes the library. Bodies and secrets are new in each run; a failing test tells the seed.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { Dice, SEED, STYLES } from './dice.mjs';
import { prepare } from './hook.mjs';
import { Request, vendors } from './vendor.mjs';

// A test whose failure tells how to have the same bodies again.
const seeded = (name, test) => it(name, async (t) => {
  try {
    await test(t);
  } catch (error) {
    error.message = `HOOKLATCH_SEED=${SEED}: ${error.message}`;
    throw error;
  }
});

// A service with one source of this provider: { hook, context }, where the context is what both sides know.
async function receiver(t, vendor, dice) {
  const keys = await vendor.keys?.();
  const secret = vendor.secret?.(dice);
  const source = { path: `/${vendor.name}`, provider: vendor.name, ...(secret && { secrets: [{ text: secret }] }), ...vendor.needs?.(keys) };
  const hook = await prepare(t, { sources: { [vendor.name]: source }, handlers: {} });
  for (const [name, text] of Object.entries(vendor.files?.(keys) ?? {})) await writeFile(hook.path(name), text);
  await hook.start();
  return { hook, context: { keys, secret } };
}

async function someEvents(vendor, dice, context) {
  const events = [];
  for (let left = vendor.several ? dice.between(1, 6) : 1; left > 0; left--) events.push(await vendor.event(dice, context));
  return events;
}

const send = (hook, { target, headers, body }) => hook.request({ target, headers: [['User-Agent', 'hooklatch-tests'], ...headers], body });

// The answer has this word, in the form that this provider wants.
function assertTaken(vendor, answer, word, counts) {
  const { status, text } = vendor.ack ?? { status: 200 };
  assert.equal(answer.result, word, answer.text);
  assert.equal(answer.status, status);
  if (text !== undefined) assert.equal(answer.text, text);
  else assert.equal(answer.json.result, word);
  if (counts && answer.json) assert.deepEqual({ events: answer.json.events, new: answer.json.new }, counts);
}

function assertRefused(answer, what) {
  assert.equal(answer.result, 'signature_mismatch', `${what}: ${answer.text}`);
  assert.equal(answer.status, 401);
}

async function assertStored(hook, vendor, request, answer) {
  for (const { id, type, text } of request.events) {
    const stored = await hook.event(`${vendor.name}/${vendor.generated ? answer.json.event_id : id}`);
    assert.ok(stored, `no event ${id}`);
    assert.equal(stored.type, type);
    assert.ok(stored.body.equals(vendor.several ? Buffer.from(text) : request.body), `the body of ${id} was altered`);
  }
  if (!vendor.several) return;
  const [whole] = await hook.sql('select events, hex(body) as body from hooklatch_request order by id desc limit 1');
  assert.equal(whole.events, request.events.length);
  assert.ok(Buffer.from(whole.body, 'hex').equals(request.body), 'the whole request was altered');
}

// Both judge the request, and one that differs in one byte, and the server a repeat.
async function assertAgreed(hook, vendor, context, request, dice, what) {
  const counts = vendor.several && { events: request.events.length, new: request.events.length };
  const judged = vendor.judges?.(request.text) ?? true;
  if (judged) assert.ok(await request.accepted(context), `${what}: ${vendor.library} refused: ${request.reason}`);
  const forged = request.altered(dice);
  if (judged) assert.ok(!(await forged.accepted(context)), `${what}: ${vendor.library} took a changed byte`);
  assertRefused(await send(hook, forged), `${what}, a changed byte`);
  const answer = await send(hook, request);
  assertTaken(vendor, answer, 'accepted', counts);
  await assertStored(hook, vendor, request, answer);
  assertTaken(vendor, await send(hook, request), vendor.generated ? 'accepted' : 'duplicate', counts && { ...counts, new: 0 });
}

// What `hooklatch verify` says of it.
async function verify(hook, vendor, { headers, body, target }) {
  await writeFile(hook.path('headers'), headers.map(([name, value]) => `${name}: ${value}\n`).join(''));
  await writeFile(hook.path('body'), body);
  const { code, stdout } = await hook.cli('verify', '--source', vendor.name, '--headers', hook.path('headers'), '--body', hook.path('body'), '--target', target, '--json');
  return { code, ...JSON.parse(stdout) };
}

// The command finds the same events in it, and not in a forgery.
async function assertVerified(hook, vendor, request, dice, what) {
  const report = await verify(hook, vendor, request);
  const found = report.events ?? [{ event_id: report.event_id, type: report.type }];
  assert.deepEqual([report.code, report.result, found], [0, 'good', request.events.map(({ id, type }) => ({ event_id: id, type }))], `${what}: ${JSON.stringify(report)}`);
  const { code, result } = await verify(hook, vendor, request.altered(dice));
  assert.deepEqual([code, result], [1, 'signature_mismatch'], `${what}, a changed byte`);
}

// Options for what a provider signs with a key of its own.
async function keyOptions(hook, { keys }) {
  if (!keys) return [];
  await writeFile(hook.path('private.pem'), keys.pem, { mode: 0o600 });
  return ['--private-key', hook.path('private.pem'), ...(keys.name ? ['--key-name', keys.name] : [])];
}

// The request with the headers, the query and the body that `hooklatch sign` makes of it; without a request, of its own sample.
async function signedBy(hook, vendor, context, request) {
  const args = ['sign', '--source', vendor.name, '--type', request?.events[0].type ?? 'test', '--body-out', hook.path('signed'), ...(await keyOptions(hook, context))];
  if (request?.events[0].id) args.push('--id', request.events[0].id);
  if (request) {
    await writeFile(hook.path('body'), request.body);
    args.push('--body', hook.path('body'));
  }
  const { code, stdout, stderr, text } = await hook.cli(...args);
  assert.equal(code, 0, text);
  const headers = stdout.split('\n').slice(0, -1).map((line) => /^([^:\s]+): (.*)$/.exec(line)?.slice(1));
  assert.ok(headers.every(Boolean), `lines are Name: value\n${stdout}`);
  const body = await readFile(hook.path('signed'));
  const [, query] = /the URL's query is (\S+)/.exec(stderr) ?? [];
  return new Request(vendor, { text: body, headers, query: query && `?${query}`, events: request?.events });
}

describe('providers’ libraries', { timeout: 600_000, concurrency: 4 }, () => {
  for (const vendor of vendors) {
    const how = vendor.signs ? `signed by ${vendor.library}` : `signed by the recipe and passed by ${vendor.library}`;
    seeded(`${vendor.name}: requests ${how} are accepted once and kept byte for byte`, async (t) => {
      const dice = new Dice(vendor.name);
      const { hook, context } = await receiver(t, vendor, dice);
      for (const [name, style] of Object.entries(STYLES)) {
        const request = Request.compose(vendor, await someEvents(vendor, dice, context), dice, style);
        await request.sign(context);
        await assertVerified(hook, vendor, request, dice, name);
        await assertAgreed(hook, vendor, context, request, dice, name);
      }
    });

    seeded(`${vendor.name}: what hooklatch sign makes passes ${vendor.library} and the server`, async (t) => {
      const dice = new Dice(`${vendor.name}, sign`);
      const { hook, context } = await receiver(t, vendor, dice);
      for (const [name, style] of Object.entries(STYLES)) {
        const request = Request.compose(vendor, await someEvents(vendor, dice, { ...context, unsigned: true }), dice, style);
        const signed = await signedBy(hook, vendor, context, request);
        if (!vendor.sealed) assert.ok(signed.body.equals(request.body), `${name}: sign changed the body`);
        signed.events = vendor.sealedEvents?.(request.events, signed.text) ?? request.events;
        await assertAgreed(hook, vendor, context, signed, dice, name);
      }
    });

    seeded(`${vendor.name}: the sample of hooklatch sign passes ${vendor.library} and the server`, async (t) => {
      const dice = new Dice(`${vendor.name}, sample`);
      const { hook, context } = await receiver(t, vendor, dice);
      const sample = await signedBy(hook, vendor, context);
      assert.ok(await sample.accepted(context), `${vendor.library} refused: ${sample.reason}\n${sample.text}`);
      assertTaken(vendor, await send(hook, sample), 'accepted', vendor.several && { events: 1, new: 1 });
      const [stored] = await hook.sql('select hex(body) as body from events');
      assert.ok(sample.body.includes(Buffer.from(stored.body, 'hex')));
    });

    seeded(`${vendor.name}: hooklatch send is accepted`, async (t) => {
      const { hook, context } = await receiver(t, vendor, new Dice(`${vendor.name}, send`));
      const url = `https://localhost:${hook.address().port}/${vendor.name}`;
      const sent = await hook.json('send', '--source', vendor.name, '--url', url, ...(await keyOptions(hook, context)));
      assert.equal(sent.result, 'accepted', JSON.stringify(sent));
      assert.equal(await hook.count('events'), 1);
    });
  }

  for (const vendor of vendors.filter(({ several }) => several)) {
    seeded(`${vendor.name}: of a request that was regrouped only what is new is stored`, async (t) => {
      const dice = new Dice(`${vendor.name}, regrouped`);
      const { hook, context } = await receiver(t, vendor, dice);
      const events = [];
      for (let left = 4; left > 0; left--) events.push(await vendor.event(dice, context));
      const post = async (some) => send(hook, await Request.compose(vendor, some, dice, STYLES.windows).sign(context));
      assertTaken(vendor, await post(events.slice(0, 2)), 'accepted', { events: 2, new: 2 });
      assertTaken(vendor, await post(events.slice(1, 3)), 'accepted', { events: 2, new: 1 });
      assertTaken(vendor, await post([events[2], events[0]]), 'duplicate', { events: 2, new: 0 });
      const repeated = await post([events[3], events[3]]);
      assertTaken(vendor, repeated, 'accepted', { events: 2, new: 1 });
      assert.equal(await hook.count('events'), 4);
    });
  }
});
