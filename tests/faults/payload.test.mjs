// Data that attacks whoever reads it later: the parser, the log and its readers, the terminal, the spreadsheet. It is signed, so it is
// somebody's and is kept as it came, or it is refused; and nothing that shows it obeys it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { describe, it } from 'node:test';
import { assertAnswer, github, plain, prepare, recorder, serve, spread, until, within } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';
import { obeyed, onTerminal } from './terminal.mjs';

const CLEAR = '\x1b[2J\x1b[H';
const TITLE = '\x1b]0;owned\x07';
const C1 = '\u009b31m\u0085\u0090q\u009c'; // the same in one character each: CSI, NEL, DCS, ST
const BITS = [0x9b, 0x32, 0x4a, 0xff, 0xfe, 0xc0, 0x9b, 0xed, 0xa0, 0x80]; // and as bytes that are no UTF-8
const OVERSTRIKE = 'good\b\b\b\bevil\rline\x7f\x00';
const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
const hostile = bytes('{"note":"', CLEAR, TITLE, C1, BITS, OVERSTRIKE, '\n{\\"ts\\":1}\r\n","u":"\\u001b[2J\\ud800\\u0000"}');
const utf8 = new TextDecoder('utf-8', { fatal: true });

// A program that says all of it on stderr and fails, a destination that answers with it, and an order that is it.
const angry = (keys) => recorder({ on: ['github/*'], retry: { attempts: 1 }, then: 'cat "$dir/hostile" >&2; printf "\\nlast" >&2; exit 65', ...keys });

async function rudeDestination(t) {
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(422, { 'Content-Type': 'text/plain' });
      response.end(hostile);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}/`;
}

// What may be in a header or an id: no control characters of ASCII, but all else.
const latin = (text) => Buffer.from(text).toString('latin1');
const ids = ['plain', 'é 漢字 🚀', '\u202egnp.exe', '"quoted\\"', '<script>alert(1)</script>', "'; DROP TABLE events; --", '%1b[2J\\x1b[2J\\u001b', '=1+1', '+1', '-1', '@SUM(A1)', '=HYPERLINK("http://x")'];

async function hostileService(t) {
  const hook = await serve(t, {
    sources: { github, plain },
    handlers: { program: angry(), destination: { on: ['github/*'], http: { url: await rudeDestination(t) } }, note: { on: ['*/*'], log: {} } },
  });
  await writeFile(hook.path('hostile'), hostile);
  for (const id of ids) {
    const headers = { 'User-Agent': latin(`agent${C1}`), 'X-Raw': Buffer.from(BITS).toString('latin1'), 'X-Tab': 'a\tb' };
    assertAnswer(await hook.send('github', { id: latin(id), type: latin(`t${id}`), body: hostile, headers }), 'accepted', id);
  }
  await hook.idle();
  return hook;
}

describe('payload', { timeout: 120_000, concurrency: 2 }, () => {
  it('row 57: nothing that the command line shows on a terminal is obeyed by it', async (t) => {
    const hook = await hostileService(t);
    const list = await hook.json('dead', 'list');
    assert.equal(list.length, 2 * ids.length);
    const program = list.filter(({ handler }) => handler === 'program');
    const [{ id: number }] = program;
    await hook.ok('pause', 'program', '--reason', `why ${CLEAR}${C1}`);
    await hook.ok('dead', 'discard', String(program[1].id), '--reason', `because ${CLEAR}${C1}`);
    await writeFile(hook.path('headers'), bytes('X-Hub-Signature-256: sha256=00\r\nX-GitHub-Delivery: ', C1, BITS, '\r\n'));
    const deliveries = [{ id: 1, guid: `missing${CLEAR}${C1}`, delivered_at: new Date().toISOString(), redelivery: false, status: 'OK', status_code: 200, event: `push${CLEAR}`, action: null }];
    await writeFile(hook.path('list.json'), JSON.stringify(deliveries));
    const commands = [
      ['events', 'list'], ['dead', 'list'], ['dead', 'list', '--state', 'discarded'], ['dead', 'show', String(number)], ['dead', 'show', 'github/plain/destination'], ['tail'], ['stats'],
      ['explain', 'github/plain'], ['replays', 'list'], ['events', 'export', '--limit', '3'], ['dead', 'replay', '--all', '--dry-run'], ['events', 'replay', '--handler', 'note', '--dry-run'],
      ['reconcile', '--source', 'github', '--provider-file', hook.path('list.json')], ['verify', '--source', 'github', '--headers', hook.path('headers'), '--body', hook.path('hostile')],
      ...ids.slice(0, share(ids.length, 4)).flatMap((id) => [['events', 'show', `github/${id}`], ['dead', 'show', `github/${id}/program`]]),
    ];
    const structured = ['events list', 'events show', 'dead list', 'dead show', 'replays list', 'explain', 'stats', 'reconcile', 'verify'];
    const runs = commands.flatMap((words) => (structured.some((name) => words.join(' ').startsWith(name)) ? [words, [...words, '--json']] : [words]));
    runs.push(['tail', '--jsonl'], ['events', 'list', '--jsonl'], ['dead', 'list', '--jsonl']);
    const found = [];
    let shown = 0;
    await spread(runs, 2, async (words) => {
      const { text } = await onTerminal(hook, ...words);
      shown += text.length;
      const [what, ...more] = obeyed(text);
      if (what) found.push(`hooklatch ${JSON.stringify(words.join(' ').slice(0, 60))}: ${what} and ${more.length} more`);
    });
    assert.ok(shown > 20_000, `${shown} characters were shown`);
    assert.deepEqual(found, []);
    score(t, 57, { cases: runs.length, unexpected: found.length });
  });

  // Ids are copied from a provider's page, by people and by scripts.
  it('row 57: what was typed is repeated in messages without being obeyed', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { on: ['*/*'], log: {} } } });
    const odd = `x${CLEAR}${TITLE}${C1}`;
    const runs = [
      [odd], ['events', odd], ['events', 'list', `--${odd}`], ['events', 'list', '--since', odd], ['events', 'list', '--limit', odd], ['events', 'show', odd], ['events', 'show', `github/${odd}`],
      ['events', 'show', `github/${odd}`, '--json'], ['dead', 'show', odd], ['dead', 'show', `github/${odd}`], ['dead', 'replay', `github/${odd}`], ['explain', `github/${odd}`], ['pause', odd], ['resume', odd],
      ['take', odd], ['replays', 'show', odd], ['replays', 'cancel', odd], ['providers', odd], ['init', odd], ['send', '--source', odd], ['verify', '--source', odd, '--headers', odd, '--body', odd],
      ['reconcile', '--source', 'github', '--provider-file', odd], ['events', 'replay', '--handler', odd, '--dry-run'],
    ];
    const found = [];
    await spread(runs, 2, async (words) => {
      const { code, text } = await onTerminal(hook, ...words);
      assert.notEqual(code, 0, words.join(' '));
      const [what] = obeyed(text);
      if (what) found.push(`hooklatch ${JSON.stringify(words.join(' ').slice(0, 60))}: ${what}`);
    });
    assert.deepEqual(found, []);
    score(t, 57, { cases: runs.length, unexpected: found.length });
  });

  it('row 57: --json is JSON, --jsonl a document a line, and a table in a pipe as many cells a line', async (t) => {
    const hook = await hostileService(t);
    let cases = 0;
    for (const words of [['events', 'list'], ['dead', 'list'], ['dead', 'show', 'github/plain/program'], ['stats'], ['explain', 'github/plain'], ...ids.map((id) => ['events', 'show', `github/${id}`])]) {
      await hook.json(...words);
      cases += 1;
    }
    for (const words of [['events', 'list', '--jsonl'], ['dead', 'list', '--jsonl'], ['events', 'export']]) {
      const rows = (await hook.ok(...words)).split('\n').slice(0, -1).map((line) => JSON.parse(line));
      assert.ok(rows.length >= ids.length, words.join(' '));
      cases += rows.length;
    }
    for (const noun of ['events', 'dead']) {
      const lines = (await hook.ok(noun, 'list')).split('\n').slice(0, -1);
      const counts = new Set(lines.map((line) => line.split('\t').length));
      assert.equal(counts.size, 1, `${noun} list: lines of ${[...counts]} cells`);
      cases += lines.length;
    }
    const exported = (await hook.ok('events', 'export')).split('\n').slice(0, -1).map((line) => JSON.parse(line));
    for (const id of ids) assert.ok(Buffer.from(exported.find((one) => one.event_id === id).body, 'base64').equals(hostile), `the export of ${id}`);
    score(t, 57, { cases });
  });

  // A cell that begins with = + - @ is a formula to a spreadsheet, and programs must get an id as it is: so nothing is exported in its format.
  it('row 57: an export is lines of JSON, and no spreadsheet', async (t) => {
    const hook = await hostileService(t);
    const lines = (await hook.ok('events', 'export')).split('\n').slice(0, -1);
    for (const line of lines) assert.match(line, /^\{/);
    for (const format of ['--csv', '--tsv', '--format=csv']) assert.equal((await hook.cli('events', 'export', format)).code, 2, format);
    score(t, 57, { cases: lines.length });
  });

  for (const format of ['json', 'text']) {
    it(`row 57: a log of format ${format} is text, a line a happening, whatever is in headers, ids, types and what handlers say`, async (t) => {
      const hook = await prepare(t, {
        listen: [{ http: 'unix:receive.sock', trusted_proxies: ['10.0.0.0/8'] }], log: { format, level: 'debug', file: 'hooklatch.log' }, sources: { github, plain: { ...plain, allow: ['10.0.0.1/32'] } },
        handlers: { program: angry(), destination: { on: ['github/*'], http: { url: await rudeDestination(t) } }, note: { on: ['*/*'], log: {} } },
      });
      // The harness reads JSON alone: this one is started by hand.
      const service = spawn(hook.binary, ['serve', '-c', hook.file], { stdio: 'ignore', env: { ...process.env, ...hook.env } });
      const ended = once(service, 'exit');
      t.after(() => service.kill('SIGKILL'));
      await until('it to be ready', () => hook.admin('/readyz').then((answer) => answer.status === 200, () => false));
      await writeFile(hook.path('hostile'), hostile);
      const raw = Buffer.from(BITS).toString('latin1');
      let sent = 0;
      for (const odd of [...ids.map(latin), raw, latin(C1), '\x80', '\xc2', '\xff'.repeat(600), 'a\tb']) {
        for (const more of [{}, { secret: 'wrong' }, { headers: { 'X-Hub-Signature-256': odd } }, { headers: { traceparent: odd, 'User-Agent': odd, 'X-Forwarded-For': `${odd}, ${odd}` } }]) {
          await hook.send('github', { id: odd, type: odd, body: hostile, ...more });
          sent += 1;
        }
        await hook.send('plain', { id: 'p', body: hostile, headers: { 'X-Forwarded-For': odd } });
        sent += 1;
      }
      await until('all to end', async () => (await hook.count('deliveries', "state in ('pending', 'running')")) === 0);
      service.kill('SIGTERM');
      assert.deepEqual(await within('it to end', ended), [0, null]);
      const log = await readFile(hook.path('hooklatch.log'));
      const lines = utf8.decode(log).split('\n');
      assert.equal(lines.pop(), '');
      assert.ok(lines.length >= sent, `${lines.length} lines for ${sent} requests`);
      const found = [];
      for (const line of lines) {
        if (format === 'json') JSON.parse(line);
        else assert.match(line, /^\d{4}-\d\d-\d\dT[\d:.]{15}Z (debug|info |warn |error) [a-z]+\.[a-z_]+: /);
        if (/[\x00-\x1f\x7f-\x9f]/.test(line)) found.push(JSON.stringify(line.slice(0, 300)));
      }
      assert.deepEqual(found.slice(0, 3), [], `${found.length} of ${lines.length} lines have control characters`);
      score(t, 57, { cases: sent, unexpected: found.length });
    });
  }

  it('row 57: numbers, names and depths beyond all measure are kept as they came, before and after what is read, or refused', async (t) => {
    const big = { ...plain, path: '/big', body_limit: '16MiB' };
    const copy = recorder({ on: ['big/t'], then: 'sha256sum >"$dir/sum-$HOOKLATCH_EVENT_ID"' });
    const hook = await serve(t, {
      sources: { big },
      handlers: {
        copy,
        chosen: { on: ['big/*'], when: { '/n': '1*' }, order_by: '/n', log: {} },
        deep: { on: ['big/*'], when: { '/a/a/a/a': 'x' }, order_by: '/k', log: {} },
        table: { on: ['big/*'], setup: 'CREATE TABLE IF NOT EXISTS seen (id TEXT, kind TEXT)', sql: 'INSERT INTO seen VALUES (:event_id, typeof(:body))' },
      },
    });
    const most = share(10_000_000, 2_000_000);
    const digits = Buffer.alloc(10_000_000, '7');
    const kept = {
      'a number of 10 MB': bytes('{"id":"ID","type":"t","n":1', digits, '}'),
      'a number of 10 MB before the id': bytes('{"n":1', digits, ',"id":"ID","type":"t"}'),
      'a number of 10 MB with a fraction and an exponent': bytes('{"n":1.', digits, 'e-', digits.subarray(0, 1_000_000), ',"id":"ID","type":"t"}'),
      'a name without end': bytes('{"', digits.subarray(0, most), '":1,"id":"ID","type":"t"}'),
      'an order by escapes without end': bytes('{"k":"', Buffer.alloc(most, '\\u0000'), '","id":"ID","type":"t"}'),
      'a million lone surrogates': bytes('{"a":"', Buffer.alloc(6_000_000, '\\udc00'), '","id":"ID","type":"t"}'),
      'two million levels': bytes('{"a":', Buffer.alloc(2_000_000, '['), Buffer.alloc(2_000_000, ']'), ',"id":"ID","type":"t"}'),
      '100 000 times the same name': bytes('{"id":"ID","type":"t"', Buffer.alloc(1_000_000, ',"id":"2"'), '}'),
      'NUL, raw and escaped, where nothing is read': bytes('{"id":"ID","type":"t","a":"\\u0000"}', [0, 0x20, 0]),
      'a byte order mark': bytes([0xef, 0xbb, 0xbf], '{"id":"ID","type":"t"}'),
    };
    const refused = {
      'an id of 64 KiB': bytes('{"id":"', Buffer.alloc(65_536, 'i'), '","type":"t"}'),
      'an id without end': bytes('{"id":"', Buffer.alloc(most, 'i'), '","type":"t"}'),
      'an id of digits without end': bytes('{"id":', digits, ',"type":"t"}'),
      'an id without end of depth': bytes('{"id":', Buffer.alloc(most / 2, '['), Buffer.alloc(most / 2, ']'), ',"type":"t"}'),
      'an id with a newline': '{"id":"a\\nb","type":"t"}',
      'an id with an escape code': '{"id":"a\\u001b[2J","type":"t"}',
      'an id with one in a single character': '{"id":"a\\u009b2J","type":"t"}',
      'an id with a raw escape code': '{"id":"a\x1b[2J","type":"t"}',
      'an id with NUL': '{"id":"a\\u0000","type":"t"}',
      'an id of half a surrogate pair': '{"id":"\\ud83d","type":"t"}',
      'a body that is never closed': bytes('{"a":', Buffer.alloc(1_000_000, '{"a":')),
    };
    const memory = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${hook.pid}/status`, 'utf8'))[1]);
    const words = {};
    for (const [n, [name, body]] of Object.entries(kept).entries()) {
      const id = `kept${n}`;
      const sent = bytes(body.subarray(0, body.indexOf('"ID"')), `"${id}"`, body.subarray(body.indexOf('"ID"') + 4));
      const answer = await hook.send('big', { body: sent });
      words[name] = answer.result;
      if (answer.result === 'malformed') continue; // looked at below
      assertAnswer(answer, 'accepted', name);
      assert.ok((await hook.event(`big/${id}`)).body.equals(sent), `${name} was altered`);
      await hook.settled(`big/${id}`, { state: 'done' });
      assert.equal((await readFile(hook.path(`sum-${id}`), 'utf8')).split(' ')[0], createHash('sha256').update(sent).digest('hex'), `${name} was altered on its way to the handler`);
    }
    const malformed = Object.entries(words).filter(([, word]) => word === 'malformed').map(([name]) => name);
    assert.deepEqual(malformed, ['a byte order mark'], 'refused, and nothing else');
    for (const [name, body] of Object.entries(refused)) assertAnswer(await hook.send('big', { body: Buffer.from(body) }), 'malformed', name);
    assert.equal(await hook.count('events'), Object.keys(kept).length - malformed.length);
    assert.equal(await hook.count('seen'), Object.keys(kept).length - malformed.length);
    assert.ok((await memory()) < 400_000, `${await memory()} KiB are in use`);
    assertAnswer(await hook.send('big', { id: 'after' }), 'accepted');
    score(t, 57, { cases: Object.keys(kept).length + Object.keys(refused).length });
  });
});
