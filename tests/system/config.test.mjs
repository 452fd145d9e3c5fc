// The configuration: every error at once, where it is and what was perhaps meant; and what a good file comes to.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { billing, github, http, plain, prepare } from './hook.mjs';

const START = `listen: [ { https: "127.0.0.1:0", certificate: tls/cert.pem, key: tls/key.pem } ]
sources:
  github:
    path: /github
    provider: github
    secrets: [ { env: HOOK_SECRET } ]
handlers:
  note:
    on: [ github/* ]
    log: {}
`;
const env = { HOOK_SECRET: 'env-Canary5ecretThatNobodyLogs' };

// config check of a text: [exit code, what was said]
async function check(hook, text) {
  await hook.configureText(text);
  const { code, text: said } = await hook.cli('config', 'check');
  return { code, said };
}
// The place of a word in a text, as line:column.
function place(text, word) {
  const before = text.slice(0, text.indexOf(word)).split('\n');
  return `${before.length}:${before.at(-1).length + 1}`;
}

describe('config', { timeout: 120_000, concurrency: 4 }, () => {
  it('a file needs sources and handlers, and nothing else', async (t) => {
    const hook = await prepare(t, { env });
    assert.deepEqual((await check(hook, START)).code, 0);
    assert.deepEqual((await check(hook, START.slice(START.indexOf('sources')))).code, 0);
  });

  it('each error has its place, its line, a caret and what was perhaps meant', async (t) => {
    const hook = await prepare(t, { env });
    for (const [from, to, word, meant] of [
      ['path: /github', 'paht: /github', 'paht', 'path'],
      ['provider: github', 'provider: gitub', 'gitub', 'github'],
      ['    log: {}', '    log: {}\n    guarantee: at-lest-once', 'at-lest-once', 'at-least-once'],
      ['handlers:', 'handler:', 'handler:', 'handlers'],
      ['on: [ github/* ]', 'on: [ gitub/* ]', 'gitub/*', 'github'],
    ]) {
      const text = START.replace(from, to);
      const { code, said } = await check(hook, text);
      assert.equal(code, 2, said);
      const lines = said.split('\n');
      const at = lines.findIndex((line) => line.includes(`hooklatch.yaml:${place(text, word)}: error: `));
      assert.ok(at >= 0, `no error at ${place(text, word)} (${word}):\n${said}`);
      const source = text.split('\n').find((line) => line.includes(word)).trim();
      assert.ok(lines.slice(at).some((line) => line.includes(source)), `the source line is not shown:\n${said}`);
      assert.ok(lines.slice(at).some((line) => /^[^A-Za-z]*\^/.test(line)), `no caret:\n${said}`);
      assert.match(said, new RegExp(`did you mean.*${meant}`), said);
    }
  });

  it('all errors are told at once', async (t) => {
    const hook = await prepare(t, { env });
    const text = START.replace('path: /github', 'path: github').replace('provider: github', 'provider: nobody').replace('on: [ github/* ]', 'on: [ nobody/* ]').concat('wrkers: 3\ndrain: 30\n');
    const { code, said } = await check(hook, text);
    assert.equal(code, 2);
    const places = new Set(said.match(/hooklatch\.yaml:\d+:\d+: error: /g));
    assert.ok(places.size >= 5, `${places.size} errors:\n${said}`);
  });

  it('what is refused, and where', async (t) => {
    const hook = await prepare(t, { env });
    const rows = {
      'an unknown key': [START.concat('sauces: {}\n'), 'sauces'],
      'a repeated key': [START.replace('    provider: github\n', '    provider: github\n    tolerance: 1m\n    tolerance: 2m\n'), 'tolerance: 2m'],
      'a repeated source': [START.replace('handlers:', '  github:\n    path: /other\n    provider: github\n    secrets: [ { env: HOOK_SECRET } ]\nhandlers:'), null],
      'an anchor': [START.replace('on: [ github/* ]', 'on: &all [ github/* ]'), null],
      'an alias': [START.replace('on: [ github/* ]', 'on: &all [ github/* ]').concat('  other:\n    on: *all\n    log: {}\n'), null],
      'a tag': [START.replace('path: /github', 'path: !!str /github'), null],
      'a number without its unit': [START.concat('drain: 30\n'), '30\n'],
      'a size without its unit': [START.concat('limits: { body: 1000 }\n'), '1000'],
      'a rate without its unit': [START.concat('retry_budget: { rate: 100, burst: 5 }\n'), '100'],
      'a unit that is none': [START.concat('drain: 30 parsecs\n'), '30 parsecs'],
      'a negative number': [START.concat('workers: -1\n'), '-1'],
      'a list where a map belongs': [START.concat('limits: [ 1 ]\n'), null],
      'a path without a slash': [START.replace('path: /github', 'path: github'), 'path: github'],
      'a bad name': [START.replace('  note:', '  Note!:'), 'Note!'],
      'two sources on one path': [START.replace('handlers:', '  again:\n    path: /github\n    provider: github\n    secrets: [ { env: HOOK_SECRET } ]\nhandlers:'), null],
      'a source without secrets': [START.replace('    secrets: [ { env: HOOK_SECRET } ]\n', ''), null],
      'a source with an empty list of secrets': [START.replace('[ { env: HOOK_SECRET } ]', '[]'), null],
      'a secret that is not there': [START.replace('HOOK_SECRET', 'NO_SUCH_SECRET'), 'NO_SUCH_SECRET'],
      'a secret file that is not there': [START.replace('{ env: HOOK_SECRET }', '{ file: secrets/none }'), null],
      'a handler without a kind': [START.replace('    log: {}\n', ''), null],
      'a handler with two kinds': [START.replace('    log: {}\n', '    log: {}\n    exec: [ /bin/true ]\n'), null],
      'a handler without on': [START.replace('    on: [ github/* ]\n', ''), null],
      'an empty program': [START.replace('log: {}', 'exec: []'), null],
      'an unknown source in on': [START.replace('github/*', 'gitlab/*'), 'gitlab/*'],
      'an on without a slash': [START.replace('github/*', 'github'), null],
      'effectively-once for exec': [START.replace('log: {}', 'exec: [ /bin/true ]\n    guarantee: effectively-once\n    why: hope'), 'effectively-once'],
      'retry with at-most-once': [START.replace('log: {}', 'exec: [ /bin/true ]\n    guarantee: at-most-once\n    why: hope\n    retry: { attempts: 3 }'), null],
      'no YAML': [START.concat('a: [ 1\n'), null],
      'no map': ['[ 1, 2 ]\n', null],
      'nothing': ['', null],
      'an hmac source without a signature': [START.replace('provider: github', 'provider: hmac'), null],
    };
    const faults = [];
    for (const [name, [text, word]] of Object.entries(rows)) {
      const { code, said } = await check(hook, text);
      if (code !== 2) faults.push(`${name}: exit ${code}\n${said}`);
      else if (!/hooklatch\.yaml:\d+:\d+: error: \S/.test(said)) faults.push(`${name}: no place\n${said}`);
      else if (word !== null) {
        const line = place(text, word).split(':')[0];
        if (!said.includes(`hooklatch.yaml:${line}:`)) faults.push(`${name}: not on line ${line}\n${said}`);
      }
    }
    assert.deepEqual(faults, []);
  });

  it('a certificate that cannot be used is an error of its line', async (t) => {
    const hook = await prepare(t, { env });
    await writeFile(hook.path('tls/bad.pem'), 'no certificate');
    await promisify(execFile)('openssl', ['ec', '-in', hook.path('tls/key.pem'), '-aes256', '-passout', 'pass:secret', '-out', hook.path('tls/locked.pem')]);
    for (const [from, to] of [['tls/cert.pem', 'tls/none.pem'], ['tls/cert.pem', 'tls/bad.pem'], ['tls/key.pem', 'tls/locked.pem'], ['tls/key.pem', 'tls/cert.pem']]) {
      const { code, said } = await check(hook, START.replace(from, to));
      assert.equal(code, 2, `${to}: ${said}`);
      assert.match(said, new RegExp(`hooklatch\\.yaml:1:\\d+: error: certificate: .*${to}`), said);
    }
  });

  it('show tells what a preset brings, and what holds without being written', async (t) => {
    const hook = await prepare(t, { env });
    await hook.configureText(START.slice(START.indexOf('sources')));
    const shown = await hook.json('config', 'show');
    const source = shown.sources.github;
    assert.deepEqual(source.signature.header, { value: 'X-Hub-Signature-256', origin: 'preset github' });
    assert.deepEqual(source.event_id.header, { value: 'X-GitHub-Delivery', origin: 'preset github' });
    assert.deepEqual(source.body_limit, { value: '25MiB', origin: 'preset github' });
    assert.equal(source.ack, undefined, 'off unless it is written');
    assert.deepEqual(shown.admin[0].unix, { value: 'hooklatch.sock', origin: 'default' });
    assert.deepEqual(shown.listen[0].https, { value: '0.0.0.0:8443', origin: 'default' });
    assert.match(await hook.ok('config', 'show'), /header: X-Hub-Signature-256 +# preset github/);
  });

  it('what a preset brings itself, or has no use for, is refused', async (t) => {
    const hook = await prepare(t, { env });
    const faults = [];
    for (const [name, text] of Object.entries({
      events: START.replace('provider: github', 'provider: github\n    events: { array: "" }'),
      verify_token: START.replace('provider: github', 'provider: github\n    verify_token: { env: X }'),
      public_keys: START.replace('provider: github', 'provider: github\n    public_keys: [ { file: x } ]'),
      jwks: START.replace('provider: github', 'provider: github\n    jwks: https://example.com'),
    })) {
      const { code, said } = await check(hook, text);
      if (code !== 2 || !/github brings its own|github has no use for it/.test(said)) faults.push(`${name}: exit ${code}\n${said}`);
    }
    assert.deepEqual(faults, []);
  });

  it('every key of the manual that is in this version is taken', async (t) => {
    const hook = await prepare(t, {
      env: { ...env, BILLING: 'billing-Canary5ecretThatNobodyLogs' },
      listen: [{ https: '127.0.0.1:0', certificate: 'tls/cert.pem', key: 'tls/key.pem' }, http(), { http: 'unix:receive.sock', trusted_proxies: ['10.0.0.0/8'] }],
      workers: 16,
      limits: { body: '1MiB', headers: '32KiB', header_count: 128, connections: 20000, connections_per_address: 1000, memory: '256MiB', handshake_timeout: '5s', header_timeout: '5s', body_timeout: '10s', idle_timeout: '60s' },
      retry_budget: { rate: '100/s', burst: 200 },
      drain: '30s',
      sources: {
        github: { ...github, types: ['push', 'pull_request*'], allow: ['192.30.252.0/22', '2001:db8::/32', '192.0.2.1'], secrets: [{ env: 'HOOK_SECRET', until: '2999-12-31' }, { env: 'BILLING' }] },
        billing: { ...billing, public_url: 'https://hooks.example.com/billing', tolerance: '5m', body_limit: '64KiB', ack: { status: 202, body: '' }, secrets: [{ env: 'BILLING' }] },
        plain: { ...plain, secrets: [{ env: 'BILLING' }] },
      },
      handlers: {
        deploy: {
          on: ['github/push'], when: { '/ref': 'refs/heads/main', '/action': ['opened', 're*'] }, exec: ['/bin/true', 'a'], environment: ['LISTED'], guarantee: 'at-least-once', why: 'deploys are idempotent',
          timeout: '30s', concurrency: 4, retry: { attempts: 12, first: '1s', factor: 2, max: '1h', jitter: 'full', give_up_after: '3d' }, retry_budget: { rate: '10/s', burst: 20 },
        },
        once: { on: ['billing/*'], exec: ['/bin/true'], guarantee: 'at-most-once', why: 'twice would be worse' },
        note: { on: ['*/*'], log: {} },
      },
    });
    const { code, text } = await hook.cli('config', 'check');
    assert.equal(code, 0, text);
  });

  it('show prints every value and where it came from, and no secret', async (t) => {
    const hook = await prepare(t, { env });
    await hook.configureText(START.concat('workers: 7\n'));
    const shown = await hook.ok('config', 'show');
    const line = (key) => shown.split('\n').find((one) => one.includes(key));
    assert.match(line('workers') ?? '', /\b7\b/);
    assert.match(line('workers') ?? '', /hooklatch\.yaml:11/);
    assert.match(line('drain') ?? '', /30s/);
    assert.match(line('drain') ?? '', /default/);
    for (const key of ['header_timeout', 'burst', 'attempts', 'jitter', 'concurrency']) assert.ok(line(key), key);
    const values = (await hook.json('config', 'show'));
    assert.ok(values && typeof values === 'object');
  });

  it('schema is a JSON Schema that knows the keys', async (t) => {
    const hook = await prepare(t);
    const schema = JSON.parse(await hook.ok('config', 'schema', { bare: true }));
    assert.match(schema.$schema, /json-schema\.org/);
    for (const key of ['listen', 'store', 'workers', 'log', 'limits', 'retry_budget', 'drain', 'sources', 'handlers']) assert.ok(schema.properties[key], key);
    assert.equal(schema.additionalProperties, false);
  });
});
