// What changes while requests come in: secrets, certificates, configurations, as often as one likes. Nothing good is refused, what is bad
// changes nothing, and nothing is left behind.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { makeCertificate, placeCertificate } from '../system/certificate.mjs';
import { Clock } from '../system/clock.mjs';
import { assertAnswer, github, http, https, secret, serve, until } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';

const run = promisify(execFile);
const note = { note: { on: ['github/*'], log: {} } };
const quiet = { format: 'json', level: 'info' };
const withSecrets = (...entries) => ({ github: { ...github, secrets: entries.map((entry) => (typeof entry === 'string' ? { text: entry } : entry)) } });
const fingerprint = (pem) => new X509Certificate(pem).fingerprint256;

// Senders that go on until they are stopped: each a request after the other, `one` gives its outcome. What goes wrong is kept.
function traffic(lanes, one) {
  const state = { sent: 0, wrong: [], going: true };
  const all = Promise.all(Array.from({ length: lanes }, async (_, lane) => {
    for (let n = 0; state.going; n++) {
      try {
        await one(`${lane}-${n}`, lane);
        state.sent += 1;
      } catch (error) {
        if (state.wrong.push(error.message.split('\n')[0]) > 100) state.going = false;
      }
    }
  }));
  state.more = (count) => {
    const wanted = state.sent + count;
    return until(`${count} more requests`, () => state.sent >= wanted || state.wrong.length > 0, { every: 2, deadline: 40_000, say: () => state.wrong.join('\n') });
  };
  state.stop = async () => {
    state.going = false;
    await all;
  };
  return state;
}

describe('reload', { timeout: 240_000, concurrency: 1 }, () => {
  it('row 47: secrets change again and again under load: what overlaps is never refused, what is over is, and a secret that cannot be read changes nothing', async (t) => {
    let current = secret('s0');
    const hook = await serve(t, { sources: withSecrets(current), handlers: note, log: quiet });
    const load = traffic(4, async (id) => assertAnswer(await hook.send('github', { id, secret: current, body: {} }), 'accepted'));
    const rounds = share(30, 4);
    let refused = 0;
    try {
      for (let round = 1; round <= rounds; round++) {
        const [old, next] = [current, secret(`s${round}`)];
        await hook.reload({ sources: withSecrets(next, old) });
        await load.more(10);
        current = next; // the provider changes over; requests signed before are still on their way
        await load.more(10);
        const { config } = hook;
        const since = hook.log.length;
        await hook.configure({ sources: withSecrets({ file: round % 2 ? 'secrets/none' : 'secrets' }) });
        process.kill(hook.pid, 'SIGHUP');
        await hook.logged('config.reload_failed', { since });
        await load.more(10);
        hook.config = config;
        await hook.reload({ sources: withSecrets(next) });
        await load.more(10);
        for (const gone of [old, secret('none')]) {
          assertAnswer(await hook.send('github', { secret: gone }), 'signature_mismatch');
          refused += 1;
        }
      }
    } finally {
      await load.stop();
    }
    assert.deepEqual(load.wrong, []);
    await hook.idle();
    assert.equal(await hook.count('events'), load.sent);
    score(t, 47, { cases: load.sent + refused, unexpected: load.wrong.length });
  });

  it('row 48: certificates change again and again under load: no handshake fails, a bad pair is never shown, open connections live on', async (t) => {
    const pairs = await Promise.all(Array.from({ length: 3 }, (_, n) => makeCertificate(`pair${n}`)));
    const good = new Set(pairs.map((pair) => fingerprint(pair.certificate)));
    const hook = await serve(t, { sources: { github }, handlers: note, certificate: pairs[0], log: quiet });
    const lenient = { rejectUnauthorized: false, ca: undefined };
    const seen = new Map();
    const load = traffic(3, async (id) => {
      const connection = await hook.connect({ tls: lenient });
      const shown = connection.socket.getPeerX509Certificate().fingerprint256;
      assert.ok(good.has(shown), 'a certificate of a bad pair was shown');
      seen.set(shown, (seen.get(shown) ?? 0) + 1);
      assertAnswer(await hook.send('github', { connection, id, body: {} }), 'accepted');
      connection.close();
    });
    const open = await hook.connect({ tls: lenient });
    const now = async () => {
      const connection = await hook.connect({ tls: lenient });
      const shown = connection.socket.getPeerX509Certificate().fingerprint256;
      connection.close();
      return shown;
    };
    const place = async (pair) => { // as certbot does: each file is there whole, or not yet
      for (const [name, text] of [['cert', pair.certificate], ['key', pair.key]]) {
        await writeFile(hook.path(`tls/${name}.new`), text);
        await rename(hook.path(`tls/${name}.new`), hook.path(`tls/${name}.pem`));
      }
    };
    const bad = [
      { certificate: pairs[1].certificate, key: pairs[2].key }, { certificate: 'nothing', key: pairs[1].key }, { certificate: pairs[1].certificate, key: '' },
      { certificate: pairs[1].certificate.slice(0, 300), key: pairs[1].key }, { certificate: pairs[1].key, key: pairs[1].certificate },
    ];
    const rounds = share(20, 5);
    try {
      for (let round = 1; round <= rounds; round++) {
        const before = await now();
        await place(bad[round % bad.length]);
        let since = hook.log.length;
        process.kill(hook.pid, 'SIGHUP');
        await hook.logged((entry) => /^(warn|err)/.test(entry.level) && /certificate|key/.test(entry.line), { since });
        assert.equal(await now(), before, 'a bad pair was taken');
        const next = pairs[round % pairs.length];
        await place(next);
        since = hook.log.length;
        process.kill(hook.pid, 'SIGHUP');
        await until('the new pair to be shown', async () => (await now()) === fingerprint(next.certificate));
        await load.more(5);
      }
    } finally {
      await load.stop();
    }
    assert.deepEqual(load.wrong, []);
    assert.equal(seen.size, pairs.length);
    assertAnswer(await hook.send('github', { connection: open, id: 'open' }), 'accepted');
    score(t, 48, { cases: load.sent + 2 * rounds, unexpected: load.wrong.length });
  });

  it('row 48: a certificate that has expired is not taken in silence', async (t) => {
    const good = await makeCertificate('good');
    const hook = await serve(t, { sources: { github }, handlers: note, certificate: good });
    // Made ten years ago, for thirty days.
    const clock = new Clock(hook);
    t.after(() => clock.close());
    clock.run(-3650 * 86_400_000);
    const words = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30', '-subj', '/CN=expired', '-keyout', hook.path('old.key'), '-out', hook.path('old.pem')];
    await run('openssl', words, { env: { ...process.env, LD_PRELOAD: clock.env.LD_PRELOAD.split(' ').at(-1), HOOKLATCH_CLOCK: clock.env.HOOKLATCH_CLOCK } });
    const expired = { certificate: await readFile(hook.path('old.pem'), 'utf8'), key: await readFile(hook.path('old.key'), 'utf8') };
    assert.ok(Date.parse(new X509Certificate(expired.certificate).validTo) < Date.now());
    const since = hook.log.length;
    await placeCertificate(hook.dir, expired);
    process.kill(hook.pid, 'SIGHUP');
    await hook.logged('config.reloaded', { since });
    const said = hook.log.slice(since);
    assert.ok(said.some((entry) => /^(warn|err)/.test(entry.level) && /expired/.test(entry.line)), `nothing was said: ${said.map((entry) => entry.line).join('\n')}`);
    await placeCertificate(hook.dir, good);
    process.kill(hook.pid, 'SIGHUP');
    await until('it to serve', () => hook.send('github', { id: 'a' }).then((answer) => answer.result === 'accepted', () => false));
    score(t, 48, { cases: 1 });
  });

  it('row 49: a bad configuration changes nothing, whatever is bad about it; place, line and column are told, and a metric', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: note, log: quiet });
    const { config } = hook;
    const whole = await readFile(hook.file, 'utf8');
    const text = (changes) => JSON.stringify({ ...JSON.parse(whole), ...changes }, null, 2);
    const source = JSON.parse(whole).sources.github;
    const place = /hooklatch\.yaml:\d+:\d+/;
    const broken = {
      'no end of a list': ['sources: [', place], 'a tab for indentation': ['sources:\n\tgithub: {}\n', place], 'bytes that are no UTF-8': [Buffer.from([0x73, 0x3a, 0x20, 0xff, 0xfe]), place], 'NUL bytes': [Buffer.alloc(4096), /hooklatch\.yaml/],
      nothing: ['', /hooklatch\.yaml/], 'half of it': [whole.slice(0, whole.length / 2), place], 'an unknown key': [text({ sauces: {} }), place], 'a key twice': [`${whole.trimEnd().slice(0, -1)}, "workers": 2, "workers": 3 }`, place],
      'an impossible number': [text({ workers: -1 }), place], 'a number without unit': [text({ drain: 30 }), place], 'an unknown provider': [text({ sources: { github: { ...source, provider: 'gitub' } } }), place],
      'no secret file': [text({ sources: { github: { ...source, secrets: [{ file: 'none' }] } } }), /none/], 'an unknown source': [text({ handlers: { note: { on: ['gitlab/*'], log: {} } } }), place], 'two kinds': [text({ handlers: { note: { on: ['github/*'], log: {}, exec: ['/bin/true'] } } }), place],
      'a guarantee that cannot be kept': [text({ handlers: { note: { on: ['github/*'], log: {}, guarantee: 'effectively-once', why: 'no' } } }), place], 'an anchor': ['sources: &a {}\nhandlers: *a\n', place],
      'a very deep list': ['['.repeat(100_000), place], 'SQL that is none': [text({ handlers: { note: { on: ['github/*'], sql: 'SELEKT 1' } } }), place], 'SQL that reads our tables away': [text({ handlers: { note: { on: ['github/*'], sql: 'DELETE FROM events' } } }), place],
    };
    const load = traffic(2, async (id) => assertAnswer(await hook.send(config.sources.github, { id, body: {} }), 'accepted'));
    const silent = [];
    const metric = async () => /^hooklatch_config_last_reload_success (\d)$/m.exec((await hook.admin('/metrics')).text)[1];
    try {
      for (const [name, [bytes, told]] of Object.entries(broken)) {
        const since = hook.log.length;
        await writeFile(hook.file, bytes);
        process.kill(hook.pid, 'SIGHUP');
        const entry = await hook.logged('config.reload_failed', { since });
        if (!told.test(entry.error)) silent.push(`${name}: ${entry.error}`);
        assert.equal(await metric(), '0', name);
        await load.more(3);
      }
      for (const [name, act, back] of [
        ['no file', () => rename(hook.file, `${hook.file}.away`), () => rename(`${hook.file}.away`, hook.file)],
        ['a folder', async () => { await rename(hook.file, `${hook.file}.away`); await mkdir(hook.file); }, async () => { await rm(hook.file, { recursive: true }); await rename(`${hook.file}.away`, hook.file); }],
      ]) {
        const since = hook.log.length;
        await act();
        process.kill(hook.pid, 'SIGHUP');
        const entry = await hook.logged('config.reload_failed', { since });
        if (!/hooklatch\.yaml/.test(entry.error)) silent.push(`${name}: ${entry.error}`);
        await back();
        await load.more(3);
      }
      await writeFile(hook.file, whole);
      const since = hook.log.length;
      process.kill(hook.pid, 'SIGHUP');
      await hook.logged('config.reloaded', { since });
      assert.equal(await metric(), '1');
      await load.more(3);
    } finally {
      await load.stop();
    }
    assert.deepEqual(load.wrong, []);
    assert.deepEqual(silent, [], 'the place is not told');
    score(t, 49, { cases: Object.keys(broken).length + 2, unexpected: load.wrong.length });
  });

  it('row 50: a storm of reloads under load refuses nobody and leaves nothing behind', async (t) => {
    const hook = await serve(t, { listen: [https(), http()], sources: { github }, handlers: note, log: quiet });
    const count = async (what) => (await readdir(`/proc/${hook.pid}/${what}`)).length;
    const resident = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${hook.pid}/status`, 'utf8'))[1]);
    const load = traffic(4, async (id) => assertAnswer(await hook.send('github', { id, to: id.endsWith('0') ? 'http' : undefined, body: {} }), 'accepted'));
    const reloaded = () => hook.log.filter((entry) => entry.event === 'config.reloaded').length;
    const storm = async (signals) => {
      for (let n = 0; n < signals; n++) {
        if (n % 10 === 0) await hook.configure({ workers: 2 + (n % 7), handlers: { ...note, [`more${n % 3}`]: { on: ['github/none'], log: {} } } });
        process.kill(hook.pid, 'SIGHUP');
        const seen = load.sent;
        if (n % 3 === 0) await until('a request to be served', () => load.sent > seen || load.wrong.length > 0, { every: 1 });
      }
      const since = hook.log.length;
      process.kill(hook.pid, 'SIGHUP'); // the last one counts, as many as were put together
      await hook.logged('config.reloaded', { since });
    };
    try {
      await storm(share(100, 40)); // what is kept once is there now
      const [before, fds, threads] = [await resident(), await count('fd'), await count('task')];
      const begun = performance.now();
      await storm(share(1000, 100));
      const seconds = (performance.now() - begun) / 1000;
      await load.more(20);
      const grown = (await resident()) - before;
      assert.ok(grown < 24 * 1024, `${grown} KiB more are used`);
      const IDLE_WORKERS = 4; // are kept, and begin when there is work
      await until('its threads to be as before', async () => (await count('task')) <= threads + IDLE_WORKERS, { say: async () => `${threads} before, ${await count('task')} now` });
      await until('its descriptors to be as before', async () => (await count('fd')) <= fds + 2, { say: async () => `${fds} before, ${await count('fd')} now` });
      t.diagnostic(`${share(1000, 100)} signals in ${seconds.toFixed(1)} s, ${reloaded()} reloads, ${grown} KiB more`);
    } finally {
      await load.stop();
    }
    assert.deepEqual(load.wrong, []);
    await hook.idle();
    assert.equal(await hook.count('events'), load.sent);
    score(t, 50, { cases: share(1000, 100), unexpected: load.wrong.length });
  });
});
