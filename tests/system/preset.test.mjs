// What a preset brings beside its signature: how long it repeats, how large its bodies are, how old its times may be, and what cannot be
// promised where it sends no id.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Clock } from './clock.mjs';
import { assertAnswer, plain, prepare, requestBytes, understood } from './hook.mjs';
import { NAMES, parameterOf } from './preset.mjs';
import { Letter, makeKey } from './provider.mjs';
import { sourceOf, warnedOnly } from './vector.mjs';

// From the providers' documentation: for how many seconds each repeats an event by itself. What is not here never does, or does not say.
const REPEATS = {
  stripe: 259_200, 'standard-webhooks': 273_600, svix: 100_800, clerk: 100_800, resend: 100_800, openai: 259_200, gitlab: 86_400, slack: 86_400, shopify: 14_400,
  twilio: 60, mailgun: 28_800, bitbucket: 3600, linear: 25_260, zoom: 5100, square: 86_400, paddle: 259_200, 'adyen-platform': 2_592_000, razorpay: 86_400,
  mollie: 93_600, 'coinbase-commerce': 259_200, hubspot: 86_400, intercom: 60, zendesk: 3600, calendly: 86_400, typeform: 36_000, docusign: 1_296_000, dropbox: 600,
  meta: 129_600, whatsapp: 604_800, x: 300, pagerduty: 172_800, vercel: 86_400, workos: 259_200, jira: 4500, contentful: 90, launchdarkly: 60, heroku: 259_200,
  lemonsqueezy: 155, 'standard-webhooks-ed25519': 273_600, 'discord-events': 600, sendgrid: 86_400, paypal: 259_200, plaid: 86_400, adyen: 2_592_000, 'aws-sns': 3600,
  'twilio-json': 60, 'gitlab-token': 86_400, okta: 10, postmark: 37_860, 'azure-event-grid': 86_400,
};
// And how large a body may be, in MiB, where that is more than one.
const LARGE = {
  github: 25, gitlab: 25, 'gitlab-token': 25, jira: 25, shopify: 10, linear: 5, sentry: 5, 'adyen-platform': 2, adyen: 2, intercom: 2, docusign: 32, meta: 4, whatsapp: 4,
  sendgrid: 2, postmark: 50, 'azure-event-grid': 2, cloudevents: 2,
};
const MIB = 1024 * 1024;
const WITHOUT_ID = ['dropbox', 'meta', 'x', 'plaid'];
const AT = 1_700_000_000_000;

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 };
const secondsOf = (text) => (text === 'none' ? 0 : Number(text.slice(0, -1)) * UNITS[text.at(-1)]);

// A source of this preset with a key of its own, and a letter that its provider could have sent.
async function sender(hook, name) {
  const row = parameterOf(name);
  const keys = await makeKey(row, 'one');
  const letter = Letter.of(row, keys);
  return { letter, source: await sourceOf(hook, name, { ...keys.settings, config: letter.config }) };
}

async function check(hook, changes) {
  await hook.configure(changes);
  const { code, stderr } = await hook.cli('config', 'check');
  return { code, said: stderr };
}

describe('what presets bring: retention', { timeout: 180_000 }, () => {
  it('a dedup window that is shorter than the provider repeats is refused, one as long is good', async (t) => {
    const hook = await prepare(t);
    const wrong = [];
    for (const name of NAMES) {
      const { source } = await sender(hook, name);
      const window = REPEATS[name] ?? 0;
      const sources = { mine: source };
      const exactly = await check(hook, { sources, retention: `${Math.max(window, 1)}s` });
      if (exactly.code !== 0) wrong.push(`${name}, ${window} s: exit ${exactly.code}\n${exactly.said}`);
      for (const retention of window === 0 ? [] : [`${window - 1}s`, { dedup: `${window - 1}s` }]) {
        const { code, said } = await check(hook, { sources, retention });
        const [, told] = new RegExp(`hooklatch\\.yaml:\\d+:\\d+: error: retention: dedup is shorter than ${name} repeats its events \\((\\d+[smhd])\\)`).exec(said) ?? [];
        if (code !== 2 || secondsOf(told ?? 'none') !== window) wrong.push(`${name}, ${JSON.stringify(retention)}: exit ${code}\n${said}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('bodies may go sooner; a scheme of one’s own may forget at once; each preset that is too long is named', async (t) => {
    const hook = await prepare(t);
    const { stripe, okta, adyen } = Object.fromEntries(await Promise.all(['stripe', 'okta', 'adyen'].map(async (name) => [name, (await sender(hook, name)).source])));
    assert.equal((await check(hook, { sources: { stripe }, retention: { dedup: '3d', bodies: '1s' } })).code, 0);
    assert.equal((await check(hook, { sources: { plain }, retention: '1s' })).code, 0);
    const { code, said } = await check(hook, { sources: { stripe, okta, adyen }, retention: '1d' });
    assert.equal(code, 2);
    for (const name of ['stripe', 'adyen']) assert.match(said, new RegExp(`shorter than ${name} repeats`));
    assert.doesNotMatch(said, /okta/);
    const { text } = await hook.cli('serve');
    assert.match(text, /shorter than stripe repeats/, 'serve refuses it too');
  });

  it('the table says how long', async (t) => {
    const hook = await prepare(t);
    const rows = await hook.json('providers', { bare: true });
    assert.deepEqual(Object.fromEntries(rows.filter(({ name }) => name !== 'hmac').map(({ name, retries }) => [name, secondsOf(retries)])), Object.fromEntries(NAMES.map((name) => [name, REPEATS[name] ?? 0])));
  });
});

describe('what presets bring: sizes and times', { timeout: 180_000, concurrency: 2 }, () => {
  // A service with a source for every preset.
  async function everyone(t, options = {}) {
    const hook = await prepare(t, options);
    const all = {};
    for (const name of NAMES) all[name] = await sender(hook, name);
    await hook.configure({ sources: Object.fromEntries(NAMES.map((name) => [name, all[name].source])) });
    return { hook, all };
  }

  // The first answer to a head that announces so many bytes.
  async function announced(hook, { letter, source }, size) {
    const connection = await hook.connect();
    const { headers, target } = letter.dated(Date.now()).signed();
    const [, query = ''] = /(\?.*)?$/.exec(target);
    const head = requestBytes({ method: 'POST', target: source.path + query, headers: [...headers.filter(([name]) => !/^(?:content-length|expect)$/i.test(name)), ['Content-Length', String(size)], ['Expect', '100-continue']] });
    await connection.write(head);
    const answer = await connection.response();
    connection.close();
    return answer;
  }

  it('a body as large as the preset allows is asked for, one byte more is not', async (t) => {
    const { hook, all } = await everyone(t);
    await hook.start();
    warnedOnly(hook);
    const wrong = [];
    for (const name of NAMES) {
      const most = (LARGE[name] ?? 1) * MIB;
      const fits = await announced(hook, all[name], most);
      if (fits.status !== 100) wrong.push(`${name}, ${most}: ${fits.status} ${fits.text}`);
      const more = understood(await announced(hook, all[name], most + 1));
      if (more.status !== 413 || more.result !== 'body_too_large') wrong.push(`${name}, ${most + 1}: ${more.status} ${more.text}`);
    }
    assert.deepEqual(wrong, []);
    const rows = await hook.json('providers', { bare: true });
    assert.deepEqual(Object.fromEntries(rows.filter(({ body_limit: limit }) => limit).map(({ name, body_limit: limit }) => [name, limit / MIB])), LARGE);
  });

  it('GitHub’s 20 MiB are stored, Stripe’s 2 MiB are 413, and body_limit changes it', async (t) => {
    const hook = await prepare(t);
    const [github, stripe] = [await sender(hook, 'github'), await sender(hook, 'stripe')];
    await hook.configure({ sources: { github: github.source, stripe: stripe.source, wide: { ...stripe.source, path: '/wide', body_limit: '2MiB' }, narrow: { ...github.source, path: '/narrow', body_limit: '1KiB' } } });
    await hook.start();
    const padded = (size) => {
      const body = JSON.stringify({ id: 'evt_1', type: 'large', pad: '' });
      return Buffer.from(body.replace('""', `"${'x'.repeat(size - body.length)}"`));
    };
    const send = ({ letter }, body, target) => {
      const whole = letter.withBody(body).dated(Date.now()).signed();
      return hook.request({ target, headers: whole.headers, body: whole.body });
    };
    const large = padded(20 * MIB);
    const answer = await send(github, large, '/github');
    assertAnswer(answer, 'accepted');
    const [{ size, hash }] = await hook.sql("select length(body) as size, hex(substr(body, -8)) as hash from events where source = 'github'");
    assert.deepEqual([size, hash], [large.length, large.subarray(-8).toString('hex').toUpperCase()]);
    assertAnswer(await send(stripe, padded(2 * MIB), '/stripe'), 'body_too_large');
    assertAnswer(await send(stripe, padded(MIB), '/stripe'), 'accepted');
    assertAnswer(await send(stripe, padded(2 * MIB), '/wide'), 'accepted');
    assertAnswer(await send(github, padded(1025), '/narrow'), 'body_too_large');
  });

  it('a time is good for as long as the preset says, to the second', async (t) => {
    const { hook, all } = await everyone(t, { retention: '3650d' });
    const clock = new Clock(hook);
    t.after(() => clock.close());
    await hook.start({ env: clock.env });
    warnedOnly(hook);
    const wrong = [];
    let asked = 0;
    for (const name of NAMES) {
      const { tolerance_s: tolerance } = parameterOf(name).timestamp;
      if (tolerance === undefined) continue;
      asked++;
      const { letter, source } = all[name];
      const whole = letter.dated(AT).signed();
      for (const [skew, word] of [[tolerance + 1, 'timestamp_too_old'], [-tolerance - 1, 'timestamp_in_future'], [tolerance, 'accepted'], [-tolerance, WITHOUT_ID.includes(name) ? 'accepted' : 'duplicate']]) {
        clock.stand(AT + skew * 1000);
        const answer = await hook.request({ target: source.path + whole.target.slice(letter.target.split('?')[0].length), headers: whole.headers, body: whole.body });
        if (answer.result !== word) wrong.push(`${name}, ${skew} s: ${answer.result}, not ${word}\n${answer.text}`);
      }
    }
    clock.run();
    assert.deepEqual(wrong, []);
    assert.ok(asked >= 20, `${asked} presets`);
  });

  it('tolerance changes it; where no time is signed there is none', async (t) => {
    const hook = await prepare(t);
    const [stripe, github] = [await sender(hook, 'stripe'), await sender(hook, 'github')];
    const { code, said } = await check(hook, { sources: { github: { ...github.source, tolerance: '1m' } } });
    assert.equal(code, 2);
    assert.match(said, /tolerance: this scheme has no signed time/);
    await hook.configure({ sources: { stripe: { ...stripe.source, tolerance: '10s' } } });
    const clock = new Clock(hook);
    t.after(() => clock.close());
    await hook.start({ env: clock.env });
    const whole = stripe.letter.dated(AT).signed();
    for (const [skew, word] of [[11, 'timestamp_too_old'], [10, 'accepted']]) {
      clock.stand(AT + skew * 1000);
      assertAnswer(await hook.request({ target: '/stripe', headers: whole.headers, body: whole.body }), word);
    }
    clock.run();
  });
});

describe('what presets bring: generated ids', { timeout: 180_000, concurrency: 2 }, () => {
  const once = { guarantee: 'effectively-once', why: 'it would be nice' };
  const post = { http: { url: 'http://127.0.0.1:9/x' }, destination_deduplicates: true };
  const sql = { setup: 'CREATE TABLE IF NOT EXISTS seen (id TEXT)', sql: 'INSERT INTO seen VALUES (:event_id)' };

  for (const name of WITHOUT_ID) {
    it(`${name}: effectively-once is refused, and at-least-once is named`, async (t) => {
      const hook = await prepare(t);
      const { source } = await sender(hook, name);
      const { source: github } = await sender(hook, 'github');
      const sources = { mine: source, github };
      const refusal = /hooklatch\.yaml:\d+:\d+: error: guarantee: keep cannot be effectively-once: events of mine have a generated id[^]*at-least-once/;
      for (const [what, keep] of Object.entries({
        'http, told so': { on: ['mine/*'], ...post, ...once },
        'sql, by default': { on: ['mine/*'], ...sql },
        'sql, told so': { on: ['mine/*'], ...sql, ...once },
        'by a glob': { on: ['*/*'], ...sql },
        'by part of a glob': { on: ['m*/x'], ...sql },
        'as one of several': { on: ['github/*', 'mine/*'], ...sql },
      })) {
        const { code, said } = await check(hook, { sources, handlers: { keep } });
        assert.equal(code, 2, `${what}: ${said}`);
        assert.match(said, refusal, what);
        assert.equal(said.match(/: error: /g).length, 1, `${what}: once\n${said}`);
      }
      for (const [what, keep] of Object.entries({
        'sql, at-least-once': { on: ['mine/*'], ...sql, guarantee: 'at-least-once' },
        'http by default': { on: ['mine/*'], http: post.http },
        'exec, at-most-once': { on: ['mine/*'], exec: ['/bin/true'], guarantee: 'at-most-once', why: 'a test' },
        'another source': { on: ['github/*'], ...sql },
      })) {
        const { code, said } = await check(hook, { sources, handlers: { keep } });
        assert.equal(code, 0, `${what}: ${said}`);
        assert.match(said, /warning: event_id: generated: repeats of mine cannot be recognised/, what);
      }
    });

    it(`${name}: without event_id it is an error that names it; an id of one’s own is taken`, async (t) => {
      const hook = await prepare(t);
      const { source } = await sender(hook, name);
      const { event_id: generated, ...without } = source;
      assert.equal(generated, 'generated');
      const { code, said } = await check(hook, { sources: { mine: without }, handlers: {} });
      assert.equal(code, 2, said);
      assert.match(said, new RegExp(`hooklatch\\.yaml:\\d+:\\d+: error: provider: ${name} sends no event id: write \`event_id: generated\``));
      const own = await check(hook, { sources: { mine: { ...without, event_id: { json: '/my/id' } } }, handlers: { keep: { on: ['mine/*'], ...sql } } });
      assert.equal(own.code, 0, own.said);
    });
  }

  it('repeats of such a source are new events, and stats say so', async (t) => {
    const hook = await prepare(t);
    const { letter, source } = await sender(hook, 'dropbox');
    await hook.configure({ sources: { dropbox: source }, handlers: { note: { on: ['dropbox/*'], log: {} } } });
    await hook.start();
    warnedOnly(hook);
    const whole = letter.signed();
    for (let count = 0; count < 3; count++) assertAnswer(await hook.request({ target: '/dropbox', headers: whole.headers, body: whole.body }), 'accepted');
    assert.equal(await hook.count('events'), 3);
    assert.match(await hook.ok('stats'), /source dropbox: generated event ids, repeats cannot be recognised/);
  });

  it('a preset that has an id takes no event_id', async (t) => {
    const hook = await prepare(t);
    const wrong = [];
    for (const name of NAMES.filter((one) => !WITHOUT_ID.includes(one))) {
      const { source } = await sender(hook, name);
      const { code, said } = await check(hook, { sources: { mine: { ...source, event_id: 'generated' } }, handlers: {} });
      if (code !== 2 || !said.includes(`event_id: belongs to provider: hmac; ${name} brings its own`)) wrong.push(`${name}: exit ${code}\n${said}`);
    }
    assert.deepEqual(wrong, []);
  });
});
