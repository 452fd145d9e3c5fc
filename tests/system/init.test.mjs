// init NAME: a source for a provider is written into the configuration, and nothing else of it is touched.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, chown, lstat, readFile, readdir, readlink, rm, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { github, prepare, spread } from './hook.mjs';
import { NAMES, filled, insertedInto, providersText, put } from './preset.mjs';
import { warnedOnly } from './vector.mjs';

// Where the receiver chooses the secret, and the form that the provider wants.
const HEX = (bytes) => new RegExp(`^[0-9a-f]{${bytes * 2}}$`);
const FRESH = {
  github: HEX(32), bitbucket: HEX(32), gitea: HEX(32), forgejo: HEX(32), calendly: HEX(32), typeform: HEX(32), circleci: HEX(32), jira: HEX(32),
  launchdarkly: HEX(32), heroku: HEX(32), 'gitlab-token': HEX(32), okta: HEX(32), 'azure-event-grid': HEX(32), cloudevents: HEX(32),
  razorpay: /^\S{20,}$/,
  contentful: /^\S{64}$/,
  lemonsqueezy: /^\S{6,40}$/,
  gitlab: /^whsec_[A-Za-z0-9+/]{43}=$/,
  postmark: /^[^:\s]+:[^:\s]{20,}$/,
};
const TOKEN_CHOSEN = ['meta', 'whatsapp'];

// A configuration with comments wherever one can be; each place for a comment says where it is.
const EXAMPLE = `# the first line
# Zoë's file, with a tab\there and spaces at the end:   \u0020

listen: # beside listen
  - https: "127.0.0.1:0"   # the port
    certificate: tls/cert.pem
    key: tls/key.pem
# above the sources
sources:   # beside the sources
  # above the first one

  first: # beside the first one
    path: /first
    # inside of it
    provider: stripe   # Stripe's
    secrets: [ { file: secrets/first } ]   # one
  # below it
  "second":
    path: '/second'
    provider: "github"
    secrets:
      - file: secrets/second # a list, line by line
      # its end
# below the sources
handlers:
  # above the handler
  note:
    on: [ "*/*" ]   # all
    log: {} # nothing
# the last line
`;

const deepened = (text) => text.replaceAll('- https', '-   https').split('\n').map((line) => line.replace(/^ +/, (spaces) => spaces + spaces)).join('\n');

// A hook whose file is this text, with the secrets of its two sources.
async function existing(t, text = EXAMPLE) {
  const hook = await prepare(t);
  for (const name of ['first', 'second']) {
    await put(hook.path(`secrets/${name}`), `${name}-Canary5ecretThatNobodyLogs`);
    hook.keepSecret(`${name}-Canary5ecretThatNobodyLogs`);
  }
  await writeFile(hook.file, text);
  return hook;
}

// A hook without any file but its certificate.
async function empty(t) {
  const hook = await prepare(t);
  await unlink(hook.file);
  return hook;
}

const permissions = async (file) => (await stat(file)).mode & 0o7777;
const bytes = (file) => readFile(file);
const secretOf = (hook, name) => readFile(hook.path('secrets', name), 'utf8');

// Runs init, which must end well, and puts what the provider would show where it said; returns what it said.
async function initialised(hook, name, ...args) {
  const source = args[args.indexOf('--source') + 1] ?? name;
  const { code, stdout, stderr } = await hook.cli('init', name, ...args);
  assert.equal(code, 0, `${name}: ${stderr}`);
  assert.equal(stdout, '', `${name}: what it says is on stderr`);
  const [, file] = /\bput it into (\S+)/.exec(stderr) ?? [];
  if (file) await put(file, await providersText(hook, name, source));
  const text = await readFile(hook.file, 'utf8');
  if (filled(text) !== text) await writeFile(hook.file, filled(text));
  for (const [, made] of stderr.matchAll(/made a fresh secret: (\S+)/g)) hook.keepSecret(await readFile(made, 'utf8'));
  return stderr;
}

async function assertAccepted(hook, message) {
  const { code, text } = await hook.cli('config', 'check');
  assert.equal(code, 0, `${message}: ${text}`);
}

// Init must refuse with this exit code and leave everything as it was; returns what it said.
async function refused(hook, code, ...args) {
  const before = [await bytes(hook.file), await readdir(hook.dir), await permissions(hook.file)];
  const result = await hook.cli('init', ...args);
  assert.equal(result.code, code, `init ${args.join(' ')}: ${result.text}`);
  assert.deepEqual([await bytes(hook.file), await readdir(hook.dir), await permissions(hook.file)], before, `init ${args.join(' ')} changed something\n${result.text}`);
  assert.notEqual(result.stderr, '', 'it says why');
  return result;
}

describe('init, without a file', { timeout: 300_000, concurrency: 2 }, () => {
  it('makes one for every preset, which config check accepts once the secrets are where it said', async (t) => {
    const wrong = [];
    const listed = (await (await prepare(t)).json('providers', { bare: true })).map(({ name }) => name);
    await spread(listed.filter((name) => name !== 'hmac'), 2, async (name) => {
      try {
        const hook = await empty(t);
        const said = await initialised(hook, name);
        await assertAccepted(hook, name);
        const { sources, handlers } = await hook.json('config', 'show');
        assert.deepEqual([Object.keys(sources), sources[name].provider.value, sources[name].path.value], [[name], name, `/${name}`]);
        assert.equal(Object.keys(handlers).length, 1, 'its events go somewhere');
        assert.equal(/made a fresh secret: \S+\/secrets\/\S+(?<!\.verify) /.test(said), name in FRESH, `who chooses the secret: ${said}`);
        assert.equal(/\.verify \(enter it at the provider\)/.test(said), TOKEN_CHOSEN.includes(name), `who chooses the token: ${said}`);
        assert.match(said, /next, at the provider:\n {2}- \S/);
      } catch (error) {
        wrong.push(`${name}: ${error.message}`);
      }
    });
    assert.deepEqual(wrong, []);
    assert.deepEqual(listed.filter((name) => name !== 'hmac').sort(), [...NAMES].sort());
  });

  it('the page of a preset says "you choose it" where init makes the secret', async (t) => {
    const hook = await prepare(t);
    const wrong = [];
    await spread(NAMES, 2, async (name) => {
      const [, line] = /^Secret: +(.*)$/m.exec(await hook.ok('providers', name, { bare: true })) ?? [];
      if (/you choose it/.test(line) !== name in FRESH) wrong.push(`${name}: ${line}`);
    });
    assert.deepEqual(wrong, []);
  });

  it('the secret has the provider’s form, is new each time, and nobody else can read it', async (t) => {
    const wrong = [];
    await spread(Object.keys(FRESH), 2, async (name) => {
      try {
        const made = [];
        for (let round = 0; round < 2; round++) {
          const hook = await empty(t);
          await initialised(hook, name);
          made.push(await secretOf(hook, name));
          assert.match(made[round], FRESH[name]);
          assert.equal(await permissions(hook.path('secrets')), 0o700);
          assert.equal(await permissions(hook.path('secrets', name)), 0o600);
        }
        assert.notEqual(made[0], made[1], 'the same secret twice');
        if (name === 'gitlab') assert.equal(Buffer.from(made[0].slice(6), 'base64').length, 32);
      } catch (error) {
        wrong.push(`${name}: ${error.message.replaceAll(/[0-9a-f]{40,}/g, '***')}`);
      }
    });
    assert.deepEqual(wrong, []);
  });

  it('secrets are private whatever the umask, and so are verify tokens', async (t) => {
    const hook = await empty(t);
    for (const name of ['meta', 'github']) await promisify(execFile)('/bin/sh', ['-c', 'umask 0; exec "$0" init "$1" -c "$2"', hook.binary, name, hook.file]);
    assert.equal(await permissions(hook.path('secrets')), 0o700);
    for (const name of ['meta.verify', 'github']) assert.equal(await permissions(hook.path('secrets', name)), 0o600, name);
    assert.notEqual(await secretOf(hook, 'meta.verify'), await secretOf(hook, 'github'));
  });

  it('a secret that is there is kept', async (t) => {
    const hook = await empty(t);
    await put(hook.path('secrets/github'), 'old-Canary5ecretThatNobodyLogs\n');
    hook.keepSecret('old-Canary5ecretThatNobodyLogs');
    const { code, stderr } = await hook.cli('init', 'github');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /kept the secret that is there: \S+\/secrets\/github/);
    assert.doesNotMatch(stderr, /fresh/);
    assert.equal(await secretOf(hook, 'github'), 'old-Canary5ecretThatNobodyLogs\n');
    await assertAccepted(hook, 'with the old secret');
  });

  it('without -c it is hooklatch.yaml of the working directory, or that of HOOKLATCH_CONFIG', async (t) => {
    const hook = await empty(t);
    const here = await hook.cli('init', 'github', { bare: true, cwd: hook.dir });
    assert.equal(here.code, 0, here.stderr);
    assert.match((await bytes(hook.file)).toString(), /provider: github/);
    hook.keepSecret(await secretOf(hook, 'github'));
    const { code, stderr } = await hook.cli('init', 'gitea', { bare: true, cwd: '/', env: { HOOKLATCH_CONFIG: hook.path('other.yaml') } });
    assert.equal(code, 0, stderr);
    assert.match((await bytes(hook.path('other.yaml'))).toString(), /provider: gitea/);
    hook.keepSecret(await secretOf(hook, 'gitea'));
  });
});

describe('init, into a file', { timeout: 300_000, concurrency: 2 }, () => {
  for (const [style, text] of Object.entries({
    'comments everywhere': EXAMPLE,
    '4 spaces': deepened(EXAMPLE),
    'no newline at the end': EXAMPLE.trimEnd(),
    'the sources at the end, without a newline': EXAMPLE.replace(/(# above the sources\n[^]*)(# below the sources\n[^]*)$/, (_, sources, rest) => rest + sources).trimEnd(),
    'a document’s marks': `%YAML 1.2\n---\n${EXAMPLE}...\n`,
    'everything indented': EXAMPLE.replace(/^(?=.)/gm, '   '),
    'a space before the colon': EXAMPLE.replace('sources:', '"sources" :'),
  })) {
    it(`every preset, one after the other: ${style}`, async (t) => {
      const hook = await existing(t, text);
      await assertAccepted(hook, 'before');
      let before = await bytes(hook.file);
      for (const name of NAMES) {
        await initialised(hook, name);
        const after = await bytes(hook.file);
        const block = insertedInto(before, after);
        assert.match(block, new RegExp(`^ +${name}:\n`), `${name}: the block is no more than the source\n${block}`);
        assert.equal(block.match(new RegExp(`^${/^ +/.exec(block)[0]}\\S`, 'gm')).length, 1, `${name}: one source\n${block}`);
        assert.ok(block.includes(`provider: ${name}\n`), block);
        before = after;
      }
      await assertAccepted(hook, 'after');
      const { sources } = await hook.json('config', 'show');
      assert.deepEqual(Object.keys(sources).sort(), [...NAMES, 'first', 'second'].sort());
      assert.equal(sources.first.provider.value, 'stripe');
      assert.deepEqual((await readdir(hook.dir)).filter((name) => /hooklatch\.yaml./.test(name)), [], 'no draft is left');
    });
  }

  it('a file with CRLF keeps it, in what is put in as well', async (t) => {
    const hook = await existing(t, EXAMPLE.replaceAll('\n', '\r\n'));
    const before = await bytes(hook.file);
    await initialised(hook, 'gitea');
    const block = insertedInto(before, await bytes(hook.file));
    await assertAccepted(hook, 'after');
    assert.equal((block.match(/\n/g) ?? []).length, (block.match(/\r\n/g) ?? []).length, `lines of the block end otherwise than the file's:\n${JSON.stringify(block)}`);
  });

  it('a link stays one, and what it points to is changed', async (t) => {
    const hook = await existing(t);
    const before = await bytes(hook.file);
    await symlink('hooklatch.yaml', hook.path('link.yaml'));
    const { code, stderr } = await hook.cli('init', 'gitea', '-c', hook.path('link.yaml'), { bare: true });
    assert.equal(code, 0, stderr);
    hook.keepSecret(await secretOf(hook, 'gitea'));
    assert.ok((await lstat(hook.path('link.yaml'))).isSymbolicLink(), 'the link was replaced by a file');
    assert.equal(await readlink(hook.path('link.yaml')), 'hooklatch.yaml');
    insertedInto(before, await bytes(hook.file));
  });

  for (const mode of [0o600, 0o640, 0o644, 0o664, 0o660]) {
    it(`mode ${mode.toString(8)} and the owner are kept`, async (t) => {
      const hook = await existing(t);
      await chmod(hook.file, mode);
      if (process.getuid() === 0) await chown(hook.file, 65534, 65534);
      const before = await stat(hook.file);
      await initialised(hook, 'gitea');
      const after = await stat(hook.file);
      assert.deepEqual([after.uid, after.gid], [before.uid, before.gid]);
      assert.equal((after.mode & 0o7777).toString(8), mode.toString(8));
    });
  }

  for (const [style, sources] of Object.entries({
    'no source, {}': 'sources: {}',
    'one line of flow': 'sources: { first: { path: /first, provider: stripe, secrets: [ { file: secrets/first } ] } }',
    'flow over several lines': 'sources: {\n  first: { path: /first, provider: stripe, secrets: [ { file: secrets/first } ] } }',
    'flow that begins below': 'sources:\n  { first: { path: /first, provider: stripe, secrets: [ { file: secrets/first } ] } }',
  })) {
    it(`says that it cannot, and prints the block: ${style}`, async (t) => {
      const hook = await existing(t, `# above\n${sources}\nhandlers: {} # below\n`);
      await assertAccepted(hook, 'before');
      const { stdout, stderr } = await refused(hook, 2, 'github');
      assert.match(stderr, /`sources` is not written line by line/);
      assert.match(stdout, /^(?:sources:\n)? +github:\n +path: \/github\n +provider: github\n +secrets: \[ \{ file: secrets\/github \} \]\n$/);
    });
  }

  it('says that it cannot, and prints the block: JSON', async (t) => {
    const hook = await prepare(t, { sources: { second: github }, handlers: {} });
    const { stdout, stderr } = await refused(hook, 2, 'gitea');
    assert.match(stderr, /`sources` is not written line by line/);
    assert.match(stdout, /provider: gitea/);
  });

  it('a file with errors is left alone, and its errors are told', async (t) => {
    for (const [broken, place] of [[EXAMPLE.replace('path: /first', 'paht: /first'), /hooklatch\.yaml:\d+:\d+: error: .*paht/], [EXAMPLE.replace('handlers:', 'handlers: ['), /hooklatch\.yaml:\d+:\d+: error/], ['', /hooklatch\.yaml/]]) {
      const hook = await existing(t, broken);
      const { stderr } = await refused(hook, 2, 'github');
      assert.match(stderr, place);
    }
  });

  it('a secret that is missing elsewhere is no error of the file', async (t) => {
    const hook = await existing(t);
    await rm(hook.path('secrets/first'));
    const before = await bytes(hook.file);
    await initialised(hook, 'gitea');
    insertedInto(before, await bytes(hook.file));
  });

  it('a name that is taken is refused, and --source chooses another one', async (t) => {
    const hook = await existing(t);
    await initialised(hook, 'github');
    const { stderr } = await refused(hook, 2, 'github');
    assert.match(stderr, /has a source "github" already; --source NAME/);
    const before = await bytes(hook.file);
    await initialised(hook, 'github', '--source', 'org');
    const block = insertedInto(before, await bytes(hook.file));
    assert.match(block, /^ {2}org:\n {4}path: \/org\n {4}provider: github\n {4}secrets: \[ \{ file: secrets\/org \} \]\n$/);
    assert.notEqual(await secretOf(hook, 'org'), await secretOf(hook, 'github'));
    await assertAccepted(hook, 'two of one provider');
    assert.match((await refused(hook, 2, 'stripe', '--source', 'org')).stderr, /"org" already/);
  });

  for (const name of ['Bad Name', '../../outside', 'hooklatch', '', 'x'.repeat(65)]) {
    it(`--source ${JSON.stringify(name.slice(0, 16))} is no name for a source: exit 2`, async (t) => {
      const hook = await existing(t);
      await refused(hook, 2, 'gitea', '--source', name);
    });
  }

  it('a path that is taken is told, and nothing is changed', async (t) => {
    const hook = await existing(t, EXAMPLE.replace("'/second'", "'/gitea'"));
    assert.match((await refused(hook, 2, 'gitea')).stderr, /path/);
  });

  it('where the secret cannot be written the file is not changed either, so that it can be tried again', async (t) => {
    const hook = await existing(t, EXAMPLE.replaceAll('secrets/', 'kept/'));
    await rm(hook.path('secrets'), { recursive: true });
    await writeFile(hook.path('secrets'), 'no folder');
    assert.match((await refused(hook, 1, 'gitea')).stderr, /secrets/);
  });

  it('a file of somebody’s that is called like a draft is left alone', async (t) => {
    const hook = await existing(t);
    await writeFile(hook.path('notes'), 'notes');
    await symlink('notes', hook.path('hooklatch.yaml.new'));
    await initialised(hook, 'gitea');
    assert.equal(await readFile(hook.path('notes'), 'utf8'), 'notes');
    assert.ok((await lstat(hook.path('hooklatch.yaml.new'))).isSymbolicLink());
    assert.ok((await lstat(hook.file)).isFile());
  });

  it('names that are none', async (t) => {
    const hook = await existing(t);
    const classic = await refused(hook, 2, 'mollie-classic');
    assert.match(classic.stderr, /unsigned by design/);
    assert.match(classic.stderr, /preset mollie\b/);
    assert.match((await refused(hook, 2, 'gitub')).stderr, /no preset "gitub"/);
    await refused(hook, 2);
    await refused(hook, 2, 'github', 'stripe');
    const nothing = await empty(t);
    for (const name of ['mollie-classic', 'gitub']) assert.equal((await nothing.cli('init', name)).code, 2, name);
    assert.deepEqual(await readdir(nothing.dir), ['tls'], 'nothing was made');
  });

  it('a running service takes it with SIGHUP', async (t) => {
    const hook = await existing(t);
    await hook.start();
    await initialised(hook, 'gitea');
    const since = hook.log.length;
    process.kill(hook.pid, 'SIGHUP');
    const entry = await hook.logged((line) => /reload/.test(line.event), { since });
    assert.equal(entry.event, 'config.reloaded', entry.line);
  });
});

describe('init, serve, send', { timeout: 300_000, concurrency: 2 }, () => {
  for (const name of Object.keys(FRESH)) {
    it(`${name}: accepted, then a duplicate, and handled`, async (t) => {
      const hook = await empty(t);
      await initialised(hook, name);
      const text = (await bytes(hook.file)).toString();
      assert.ok(text.includes('"0.0.0.0:8443"'));
      await writeFile(hook.file, text.replace('"0.0.0.0:8443"', '"127.0.0.1:0"')); // the kernel chooses a port that is free
      await hook.start();
      warnedOnly(hook);
      const url = `https://localhost:${hook.address().port}/${name}`;
      const send = () => hook.json('send', '--source', name, '--id', 'one', '--type', 'test', '--url', url);
      const first = await send();
      assert.equal(first.result, 'accepted', JSON.stringify(first));
      assert.equal((await send()).result, 'duplicate');
      const [{ event_id: id }] = await hook.json('events', 'list');
      assert.equal(await hook.count('events'), 1);
      await hook.settled(`${name}/${id}`, { state: 'done' });
    });
  }
});
