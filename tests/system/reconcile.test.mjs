// reconcile: a provider's own list beside the store: what never came, what came and died here, and how to ask for it again.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, plain, recorder, secret, serve, stripe, waitFor } from './hook.mjs';

const HOOK = 'repos/octo/hello/hooks/4711';
const slack = { path: '/slack', provider: 'slack', secrets: [{ text: secret('slack') }] };
const sources = { github, stripe, slack, plain };

// One event in each state a delivery can be in, beside one that nobody wants. `bad` dies once, `twice` is dead for one of two handlers.
const STATES = { done: 'done', pending: 'pending', running: 'running', dead: 'bad', discarded: 'worse', unrouted: 'nobody', half: 'twice' };
const handlersOf = (source) => ({
  good: { on: [`${source}/done`, `${source}/twice`], log: {} },
  broken: recorder({ on: [`${source}/bad`, `${source}/worse`, `${source}/twice`], then: 'exit 65' }),
  slow: recorder({ on: [`${source}/running`], then: waitFor('gate') }),
  later: { on: [`${source}/pending`], pull: { visibility: '60s' } },
});
const FINDINGS = { dead: 'dead', half: 'dead', missing: 'missing' };

// A service that knows all of STATES as <source>/<prefix><state>.
async function known(t, source, prefix) {
  const handlers = handlersOf(source);
  let hook = null;
  t.after(() => hook && writeFile(hook.path('gate'), '').catch(() => {})); // before the teardown, which waits for the slow one
  hook = await serve(t, { sources, handlers });
  for (const [state, type] of Object.entries(STATES)) assertAnswer(await hook.send(source, { id: `${prefix}${state}`, type }), 'accepted', state);
  for (const [state, wanted] of Object.entries({ done: 'done', pending: 'pending', running: 'running', dead: 'dead', discarded: 'dead', half: undefined })) await hook.settled(`${source}/${prefix}${state}`, { state: wanted });
  await hook.ok('dead', 'discard', `${source}/${prefix}discarded`, '--reason', 'a test');
  await hook.settled(`${source}/${prefix}discarded`, { state: 'discarded' });
  return hook;
}

// Lets the handler that waits go on, so that the service can end.
const release = async (hook) => {
  await writeFile(hook.path('gate'), '');
  const [{ name }] = await hook.sql("select source || '/' || event_id as name from deliveries where handler = 'slow'");
  await hook.settled(name, { state: 'done' });
};

// Rows as GitHub and Stripe list them, newest first; `at` counts up from the newest.
const YESTERDAY = Math.floor(Date.now() / 1000) - 86_400; // inside what is kept here
const AT = new Date(YESTERDAY * 1000).toISOString().replace('.000', '');
const delivery = (guid, id, more) => ({ id, guid, delivered_at: AT, redelivery: false, duration: 0.3, status: 'OK', status_code: 200, event: 'push', action: null, installation_id: null, repository_id: 1, ...more });
const event = (id, more) => ({ id, object: 'event', api_version: '2024-06-20', created: YESTERDAY, data: { object: { id: 'pi_1' } }, livemode: false, pending_webhooks: 1, type: 'invoice.paid', ...more });
const stripeList = (rows) => ({ object: 'list', data: rows, has_more: false, url: '/v1/events' });

async function reconcile(hook, source, text, ...args) {
  await writeFile(hook.path('list.json'), typeof text === 'string' ? text : JSON.stringify(text));
  return hook.cli('reconcile', '--source', source, '--provider-file', hook.path('list.json'), ...args);
}

const table = (stdout) => stdout.split('\n').slice(0, -1).map((line) => line.split('\t'));

describe('reconcile with github', { timeout: 120_000, concurrency: 3 }, () => {
  const guids = [...Object.keys(STATES), 'missing'];
  const list = () => guids.map((guid, index) => delivery(`g-${guid}`, 190784013516316672n - BigInt(index)));
  // JSON.stringify knows no integers of 64 bits, and GitHub's ids are some.
  const written = (rows) => JSON.stringify(rows, (key, value) => (typeof value === 'bigint' ? `#${value}#` : value)).replace(/"#(\d+)#"/g, '$1');

  async function assertFound(hook) {
    const bare = await reconcile(hook, 'github', written(list()));
    assert.equal(bare.code, 6, bare.text);
    const wanted = guids.flatMap((guid, index) => (guid in FINDINGS ? [[FINDINGS[guid], `g-${guid}`, 'push', AT, 190784013516316672n - BigInt(index)]] : []));
    assert.deepEqual(table(bare.stdout), wanted.map(([...row]) => [...row.slice(0, 4), `gh api -X POST /repos/{owner}/{repo}/hooks/HOOK_ID/deliveries/${row[4]}/attempts`]));
    assert.match(bare.stderr, new RegExp(`\\b${guids.length} events in the provider's list; 3 missing or dead here`));
    assert.match(bare.stderr, /--hook repos\/OWNER\/REPO\/hooks\/ID/);
    const whole = await reconcile(hook, 'github', written(list()), '--hook', HOOK);
    assert.equal(whole.code, 6, whole.text);
    assert.deepEqual(table(whole.stdout).map((row) => row[4]), wanted.map((row) => `gh api -X POST /${HOOK}/deliveries/${row[4]}/attempts`));
    assert.doesNotMatch(whole.stderr, /--hook/);
  }

  it('missing and dead are findings, all else is well, with the service running and stopped', async (t) => {
    const hook = await known(t, 'github', 'g-');
    await assertFound(hook);
    await release(hook);
    await hook.stop();
    await assertFound(hook);
  });

  it('an organisation’s hook and an App’s', async (t) => {
    const hook = await serve(t, { sources });
    for (const place of ['orgs/octo/hooks/5', 'app/hook']) {
      const { stdout } = await reconcile(hook, 'github', [delivery('a', 12)], '--hook', place);
      assert.equal(table(stdout)[0][4], `gh api -X POST /${place}/deliveries/12/attempts`);
    }
  });

  for (const [how, join] of Object.entries({
    'one array': (pages) => JSON.stringify(pages.flat()),
    'pages one after the other, as --paginate prints them': (pages) => pages.map((page) => JSON.stringify(page)).join(''),
    'pages on lines of their own': (pages) => `${pages.map((page) => JSON.stringify(page, null, 2)).join('\r\n\n')}\n`,
    'pages with an empty one': (pages) => `${JSON.stringify(pages[0])}\n[]\n${pages.slice(1).map((page) => JSON.stringify(page)).join('\n')}`,
    '--slurp: an array of arrays': (pages) => JSON.stringify(pages),
    'standard input': (pages) => pages.map((page) => JSON.stringify(page)).join('\n'),
  })) {
    it(`reads ${how}`, async (t) => {
      const hook = await serve(t, { sources, handlers: {} });
      await hook.send('github', { id: 'here' });
      const text = join([[delivery('a', 9), delivery('here', 8)], [delivery('b', 7)], [delivery('c', 6), delivery('d', 5)]]);
      const { code, stdout, stderr } = how === 'standard input'
        ? await hook.cli('reconcile', '--source', 'github', '--provider-file', '-', { input: text })
        : await reconcile(hook, 'github', text);
      assert.equal(code, 6, stderr);
      assert.deepEqual(table(stdout).map((row) => row[1]), ['a', 'b', 'c', 'd']);
      assert.match(stderr, /\b5 events in the provider's list; 4 missing/);
    });
  }

  it('of several tries of one event the newest is asked for again, once', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    await hook.send('github', { id: 'here' });
    const tries = [delivery('a', 30, { redelivery: true }), delivery('here', 29), delivery('a', 28, { redelivery: true, status_code: 500 }), delivery('b', 27), delivery('a', 26, { status_code: 500 }), delivery('here', 25)];
    for (const text of [JSON.stringify(tries), JSON.stringify(tries.slice(0, 3)) + JSON.stringify(tries.slice(3))]) {
      const { code, stdout, stderr } = await reconcile(hook, 'github', text, '--hook', HOOK);
      assert.equal(code, 6);
      assert.deepEqual(table(stdout).map((row) => [row[1], row[4]]), [['a', `gh api -X POST /${HOOK}/deliveries/30/attempts`], ['b', `gh api -X POST /${HOOK}/deliveries/27/attempts`]]);
      assert.match(stderr, /\b3 events in the provider's list; 2 missing/);
    }
  });

  it('--json and --jsonl tell the same', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    const rows = [delivery('a', 9), delivery('b', 8, { event: 'issues' })];
    const wanted = [['a', 'push', 9], ['b', 'issues', 8]].map(([id, type, number]) => ({ event_id: id, type, at: AT, delivery: number, finding: 'missing', command: `gh api -X POST /${HOOK}/deliveries/${number}/attempts` }));
    const json = await reconcile(hook, 'github', rows, '--hook', HOOK, '--json');
    assert.deepEqual([json.code, JSON.parse(json.stdout)], [6, wanted]);
    const lines = await reconcile(hook, 'github', rows, '--hook', HOOK, '--jsonl');
    assert.deepEqual([lines.code, lines.stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line))], [6, wanted]);
  });

  it('nothing missing is exit 0', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    await hook.send('github', { id: 'here' });
    const plainly = await reconcile(hook, 'github', [delivery('here', 1)]);
    assert.deepEqual([plainly.code, plainly.stdout], [0, '']);
    assert.match(plainly.stderr, /\b1 events? in the provider's list; 0 missing or dead here/);
    const json = await reconcile(hook, 'github', [delivery('here', 1)], '--json');
    assert.deepEqual([json.code, JSON.parse(json.stdout)], [0, []]);
    await hook.stop();
    assert.equal((await reconcile(hook, 'github', [delivery('here', 1)])).code, 0, 'stopped');
    assert.equal((await reconcile(hook, 'github', [])).code, 0, 'an empty list of GitHub’s');
  });

  it('nothing missing is no line of --jsonl', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    await hook.send('github', { id: 'here' });
    const { code, stdout } = await reconcile(hook, 'github', [delivery('here', 1)], '--jsonl');
    assert.deepEqual([code, stdout], [0, '']);
  });

  it('what the source does not want is not missing', async (t) => {
    const hook = await serve(t, { sources: { github: { ...github, types: ['push'] } }, handlers: {} });
    assertAnswer(await hook.send('github', { id: 'a', type: 'issues' }), 'ignored');
    const { code, text } = await reconcile(hook, 'github', [delivery('a', 1, { event: 'issues' })]);
    assert.equal(code, 0, text);
  });

  it('what was asked for again is well afterwards', async (t) => {
    const hook = await known(t, 'github', 'g-');
    await hook.configure({ handlers: { ...handlersOf('github'), broken: recorder({ on: ['github/bad', 'github/worse', 'github/twice'] }) } });
    await hook.reload();
    for (const id of ['dead', 'half']) {
      assertAnswer(await hook.send('github', { id: `g-${id}`, type: STATES[id] }), 'revived');
      await hook.settled(`github/g-${id}`, { state: 'done' });
    }
    assertAnswer(await hook.send('github', { id: 'g-missing', type: 'done' }), 'accepted');
    const { code, text } = await reconcile(hook, 'github', written(list()));
    assert.equal(code, 0, text);
    await release(hook);
  });

  it('2500 entries in three pages', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    const all = Array.from({ length: 2500 }, (_, index) => `many-${index}`);
    const here = new Set(all.filter((_, index) => index % 250 === 0 || index === 999 || index === 1000 || index === 2499));
    for (const id of here) assertAnswer(await hook.send('github', { id }), 'accepted');
    const rows = all.map((id, index) => delivery(id, 10_000 - index));
    const text = [rows.slice(0, 1000), rows.slice(1000, 2000), rows.slice(2000)].map((page) => JSON.stringify(page)).join('\n');
    const wanted = rows.filter(({ guid }) => !here.has(guid)).map(({ guid, id }) => [guid, id]);
    const found = async () => {
      const { code, stdout } = await reconcile(hook, 'github', text, '--json');
      assert.equal(code, 6);
      return JSON.parse(stdout).map((row) => [row.event_id, row.delivery]);
    };
    assert.deepEqual(await found(), wanted);
    await hook.stop();
    assert.deepEqual(await found(), wanted, 'stopped');
  });
});

describe('reconcile with stripe', { timeout: 120_000, concurrency: 3 }, () => {
  it('missing and dead are findings, with the service running and stopped', async (t) => {
    const hook = await known(t, 'stripe', 'evt_');
    const ids = [...Object.keys(STATES), 'missing'].map((state) => `evt_${state}`);
    const list = stripeList(ids.map((id, index) => event(id, { created: YESTERDAY + 100 - index })));
    const wanted = ids.flatMap((id, index) => (id.slice(4) in FINDINGS ? [[FINDINGS[id.slice(4)], id, 'invoice.paid', String(YESTERDAY + 100 - index), `stripe events resend ${id} --webhook-endpoint=WE_ID`]] : []));
    const check = async () => {
      const bare = await reconcile(hook, 'stripe', list);
      assert.equal(bare.code, 6, bare.text);
      assert.deepEqual(table(bare.stdout), wanted);
      const whole = await reconcile(hook, 'stripe', list, '--hook', 'we_1P');
      assert.deepEqual(table(whole.stdout).map((row) => row[4]), wanted.map((row) => row[4].replace('WE_ID', 'we_1P')));
      const json = await reconcile(hook, 'stripe', list, '--json');
      assert.equal(json.code, 6);
      assert.deepEqual(JSON.parse(json.stdout).map((row) => [row.finding, row.event_id, row.type, String(row.at), row.command]), wanted);
    };
    await check();
    await release(hook);
    await hook.stop();
    await check();
  });

  it('pages one after the other, indented; nothing missing is exit 0', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    for (const id of ['evt_1', 'evt_2']) await hook.send('stripe', { id });
    const pages = [stripeList([event('evt_1')]), stripeList([event('evt_2')])];
    for (const text of [JSON.stringify(pages[0]) + JSON.stringify(pages[1]), pages.map((page) => JSON.stringify(page, null, 2)).join('\n')]) {
      const { code, stdout, stderr } = await reconcile(hook, 'stripe', text);
      assert.deepEqual([code, stdout], [0, ''], stderr);
      assert.match(stderr, /\b2 events in the provider's list; 0 missing/);
    }
  });

  it('an id of one source is not known to another one', async (t) => {
    const hook = await serve(t, { sources: { ...sources, other: { ...stripe, path: '/other' } }, handlers: {} });
    await hook.send('stripe', { id: 'evt_1' });
    assert.equal((await reconcile(hook, 'stripe', stripeList([event('evt_1')]))).code, 0);
    assert.equal((await reconcile(hook, 'other', stripeList([event('evt_1')]))).code, 6);
  });
});

describe('reconcile, refused', { timeout: 120_000, concurrency: 3 }, () => {
  it('a source of another provider, an unknown one, a missing option: exit 2', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    for (const name of ['slack', 'plain']) {
      const { code, stdout, stderr } = await reconcile(hook, name, []);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, new RegExp(`github and stripe.*${name} is of ${sources[name].provider}`));
    }
    const unknown = await reconcile(hook, 'gitub', []);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /no source "gitub"/);
    assert.equal((await hook.cli('reconcile', '--source', 'github')).code, 2);
    assert.equal((await hook.cli('reconcile', '--provider-file', hook.path('list.json'))).code, 2);
  });

  it('a file that is not there, is a folder, is no JSON or is cut off: exit 2', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    for (const file of ['none.json', 'tls']) {
      const { code, stderr } = await hook.cli('reconcile', '--source', 'github', '--provider-file', hook.path(file));
      assert.equal(code, 2, stderr);
      assert.match(stderr, new RegExp(file));
    }
    const whole = JSON.stringify([delivery('a', 1), delivery('b', 2)]);
    for (const text of ['no JSON', whole.slice(0, -5), `${whole}${whole.slice(0, 40)}`, `${whole} and more`, '12', 'null', '"text"']) {
      const { code, stdout, stderr } = await reconcile(hook, 'github', text);
      assert.deepEqual([code, stdout], [2, ''], `${text}\n${stderr}`);
      assert.match(stderr, /list\.json: expected the JSON array of `gh api/);
    }
    const { code, stderr } = await reconcile(hook, 'stripe', '{"error":{"message":"Invalid API Key"}}');
    assert.equal(code, 2);
    assert.match(stderr, /expected the JSON of `stripe events list`/);
  });

  // `gh api … >file` leaves such files behind when it fails: "nothing is missing" would be a lie.
  for (const [what, source, text] of [
    ['an empty file', 'github', ''],
    ['white space alone', 'github', '\n'],
    ['an error of GitHub’s', 'github', '{"message":"Not Found","documentation_url":"https://docs.github.com","status":"404"}'],
    ['Stripe’s list for a source of GitHub', 'github', JSON.stringify(stripeList([event('evt_1')]))],
    ['GitHub’s list for a source of Stripe', 'stripe', JSON.stringify([delivery('a', 1)])],
    ['a list of hooks instead of deliveries', 'github', '[{"type":"Repository","id":1,"name":"web","active":true}]'],
    ['rows that are no objects', 'github', '[1,2,"x"]'],
  ]) {
    it(`is no list of deliveries, and never "nothing missing": ${what}`, async (t) => {
      const hook = await serve(t, { sources, handlers: {} });
      const { code, stdout, stderr } = await reconcile(hook, source, text);
      assert.deepEqual([code, stdout], [2, ''], stderr);
      assert.match(stderr, /list\.json/);
    });
  }

  it('ids of the list go nowhere but into the store’s question and the command', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    const ids = ['with space', 'qu"ote', "it's", 'Zoë', 'x'.repeat(512), 'a\tb', 'a\nb', 'a\u001b[31mb'];
    const { code, stdout } = await reconcile(hook, 'github', ids.map((id, index) => delivery(id, index + 1)));
    assert.equal(code, 6);
    assert.equal(table(stdout).length, ids.length, 'a line each');
    assert.ok(table(stdout).every((row) => row.length === 5), stdout);
    assert.ok(!stdout.includes('\u001b'), 'no escapes reach the terminal');
    assert.equal(await hook.count('events'), 0);
  });

  it('a command for Stripe is one that a shell takes as it stands', async (t) => {
    const hook = await serve(t, { sources, handlers: {} });
    const { code, stdout } = await reconcile(hook, 'stripe', stripeList([event('evt_1; rm -rf x')]));
    assert.equal(code, 6);
    assert.match(table(stdout)[0][4], /^stripe events resend (?:'evt_1; rm -rf x'|"evt_1; rm -rf x"|evt_1\\; .*)(?: --webhook-endpoint=WE_ID)?$/);
  });

  it('what is older than retention keeps is not called missing', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } }, retention: '2d' });
    const old = new Date(Date.now() - 3 * 86_400_000).toISOString();
    await writeFile(hook.path('list.json'), JSON.stringify([delivery('new', 2), delivery('old', 1, { delivered_at: old })]));
    const { code, text } = await hook.cli('reconcile', '--source', 'github', '--provider-file', hook.path('list.json'));
    assert.equal(code, 6, text);
    assert.match(text, /missing.*new/);
    assert.doesNotMatch(text, /missing\s+old/);
    assert.match(text, /1 are older than retention/);
  });
});
