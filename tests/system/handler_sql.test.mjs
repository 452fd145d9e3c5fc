// The contract of `sql`: statements that run in the transaction that records their delivery as done. What they are given, what they may
// touch, what undoes them, and that each effect is there exactly once, whatever dies.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { assertAnswer, end, github, plain, prepare, recorder, serve, spread, until, waitFor } from './hook.mjs';

const on = ['github/*'];
const retry = (attempts, more) => ({ attempts, first: '100ms', factor: 1, max: '1s', jitter: 'none', ...more });
const NOTED = 'CREATE TABLE IF NOT EXISTS noted (n INTEGER PRIMARY KEY, id TEXT, value)';
const noting = (more) => ({ on, setup: NOTED, sql: 'INSERT INTO noted (id) VALUES (:event_id)', ...more });
const quiet = { format: 'json', level: 'info' };
const send = async (hook, id, body) => assertAnswer(await hook.send('github', { id, body }), 'accepted');

// What `config check` says of one handler.
async function check(hook, keys) {
  await hook.configure({ handlers: { note: { on, ...keys } } });
  return hook.cli('config', 'check');
}
// Every one of these configurations is refused; tells all that are not.
async function assertAllRefused(hook, list) {
  const accepted = [];
  for (const keys of list) {
    const { code, text } = await check(hook, keys);
    if (code === 0) accepted.push(keys);
    else assert.match(text, /hooklatch\.yaml:\d+:\d+: error: /, JSON.stringify(keys));
  }
  assert.deepEqual(accepted, []);
}
async function assertRefused(hook, keys, word) {
  const { code, text } = await check(hook, keys);
  assert.equal(code, 2, `${JSON.stringify(keys)}\n${text}`);
  assert.match(text, /hooklatch\.yaml:\d+:\d+: error: /);
  if (word) assert.match(text, word, JSON.stringify(keys));
}
// Counts rows of effects against deliveries that are done: the same ones, each once.
async function assertEachOnce(hook, count, table = 'noted') {
  assert.deepEqual(await hook.sql(`select id, count(*) as times from ${table} group by id having count(*) > 1`), [], 'an effect is there twice');
  assert.equal(await hook.count(table), count);
  assert.deepEqual(await hook.sql(`select event_id from deliveries where handler = 'note' and state = 'done' except select id from ${table}`), []);
  assert.deepEqual(await hook.sql(`select id from ${table} except select event_id from deliveries where handler = 'note' and state = 'done'`), []);
}

describe('sql', { timeout: 300_000, concurrency: 3 }, () => {
  it('a statement is given the event by name', async (t) => {
    const note = {
      on: ['*/*'],
      setup: 'CREATE TABLE IF NOT EXISTS seen (id TEXT, source TEXT, type TEXT, sequence, body, received_at TEXT)',
      sql: 'INSERT INTO seen VALUES (:event_id, :source, :type, :sequence, :body, :received_at)',
    };
    const hook = await serve(t, { sources: { github, plain }, handlers: { note } });
    const body = '{"a":"Grüße, O\'Neil","b":[1,2.50],"c":"\\u0000"}\r\n';
    assertAnswer(await hook.send('github', { id: "it's;--", type: 'pull_request', body }), 'accepted');
    await hook.settled("github/it's;--", { state: 'done' });
    const event = await hook.event("github/it's;--");
    const [row] = await hook.sql('select *, typeof(body) as kind, typeof(sequence) as number from seen');
    assert.deepEqual(row, { id: "it's;--", source: 'github', type: 'pull_request', sequence: event.seq, body, received_at: event.received_at, kind: 'text', number: 'integer' });
  });

  it('a body is text when it is UTF-8 without NUL, and else a blob, byte for byte', async (t) => {
    const note = noting({ sql: 'INSERT INTO noted (id, value) VALUES (:event_id, :body)' });
    const hook = await serve(t, { sources: { github }, handlers: { note } });
    const bodies = {
      text: ['text', Buffer.from('{"ü":"\u{1f980}"}')],
      empty: ['text', Buffer.alloc(0)],
      control: ['text', Buffer.from([1, 9, 10, 127])],
      large: ['text', Buffer.alloc(900_000, 'grüße ')],
      nul: ['blob', Buffer.from('{"a":\0}')],
      last: ['blob', Buffer.from('{}\0')],
      latin1: ['blob', Buffer.from('grüße', 'latin1')],
      surrogate: ['blob', Buffer.from([0xed, 0xa0, 0x80])],
      overlong: ['blob', Buffer.from([0xc0, 0xaf])],
      cut: ['blob', Buffer.from([0xe2, 0x82])],
    };
    for (const [id, [, body]] of Object.entries(bodies)) await send(hook, id, body);
    await hook.idle();
    const rows = await hook.sql('select id, typeof(value) as kind, hex(value) as bytes from noted');
    for (const { id, kind, bytes } of rows) {
      assert.equal(kind, bodies[id][0], id);
      assert.ok(Buffer.from(bytes, 'hex').equals(bodies[id][1]), id);
    }
    assert.equal(rows.length, Object.keys(bodies).length);
  });

  it('several statements, comments and JSON functions', async (t) => {
    const note = {
      on,
      setup: 'CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, total REAL); -- one\n/* two */ CREATE TABLE IF NOT EXISTS items (id TEXT, name TEXT); CREATE INDEX IF NOT EXISTS by_name ON items (name);',
      sql: `-- the order
INSERT INTO orders VALUES (json_extract(:body, '$.id'), :body ->> '$.total')
  ON CONFLICT (id) DO UPDATE SET total = excluded.total;
INSERT INTO items VALUES (json_extract(:body, '$.id'), :body ->> '$.items[0].name');
UPDATE orders SET total = total * 2 WHERE id = json_extract(:body, '$.id');
;`,
    };
    const hook = await serve(t, { sources: { github }, handlers: { note } });
    await send(hook, 'a', { id: 'o1', total: 2.5, items: [{ name: 'x' }, { name: 'y' }] });
    await send(hook, 'b', { id: 'o1', total: 4, items: [] });
    await hook.idle();
    assert.deepEqual(await hook.sql('select * from orders'), [{ id: 'o1', total: 8 }]);
    assert.deepEqual(await hook.sql('select * from items order by name'), [{ id: 'o1', name: null }, { id: 'o1', name: 'x' }]);
  });

  it('json_each and json_tree over the body', async (t) => {
    const items = { on, setup: 'CREATE TABLE IF NOT EXISTS items (id TEXT, name TEXT)', sql: "INSERT INTO items SELECT :event_id, value ->> '$.name' FROM json_each(:body, '$.items')" };
    const leaves = { on, setup: 'CREATE TABLE IF NOT EXISTS leaves (path TEXT, value)', sql: "INSERT INTO leaves SELECT fullkey, atom FROM json_tree(:body, '$.items') WHERE atom IS NOT NULL" };
    const hook = await serve(t, { sources: { github }, handlers: { items, leaves } });
    for (const id of ['a', 'b']) await send(hook, id, { items: [{ name: 'x' }, { name: 'y' }] });
    await hook.idle();
    assert.deepEqual(await hook.sql('select id, name from items order by id, name'), [{ id: 'a', name: 'x' }, { id: 'a', name: 'y' }, { id: 'b', name: 'x' }, { id: 'b', name: 'y' }]);
    assert.equal(await hook.count('leaves'), 4);
  });

  it('a body that is no JSON is a failed try with a clear reason', async (t) => {
    const note = noting({ retry: retry(2), sql: "INSERT INTO noted (id, value) VALUES (:event_id, json_extract(:body, '$.x'))" });
    const hook = await serve(t, { sources: { github }, handlers: { note } });
    await send(hook, 'bad', 'no JSON');
    await send(hook, 'good', { x: 1 });
    const [{ attempts, last_error: error }] = await hook.settled('github/bad', { state: 'dead' });
    assert.equal(attempts, 2);
    assert.match(error, /malformed JSON/i);
    await hook.settled('github/good', { state: 'done' });
    await assertEachOnce(hook, 1);
  });

  it('setup runs at each start and after a reload that adds or changes the handler', async (t) => {
    const note = noting();
    const hook = await serve(t, { sources: { github }, handlers: {} });
    await send(hook, 'before');
    assert.equal((await hook.reload({ handlers: { note } })).event, 'config.reloaded');
    await send(hook, 'a');
    await hook.settled('github/a', { state: 'done' });
    await hook.reload({ handlers: { note: { ...note, setup: `${NOTED}; CREATE TABLE IF NOT EXISTS more (id TEXT)`, sql: 'INSERT INTO noted (id) VALUES (:event_id); INSERT INTO more VALUES (:event_id)' } } });
    await send(hook, 'b');
    await hook.settled('github/b', { state: 'done' });
    assert.equal(await hook.count('more'), 1);
    await hook.restart();
    await send(hook, 'c');
    await hook.settled('github/c', { state: 'done' });
    await hook.stop();
    execFileSync('sqlite3', [hook.database, 'drop table more']);
    await hook.start();
    await send(hook, 'd');
    await hook.settled('github/d', { state: 'done' });
    await assertEachOnce(hook, 4);
  });

  it('a setup that fails keeps the old configuration at a reload, and refuses a start with the handler’s name', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: noting() } });
    const bad = { on, setup: 'CREATE TABLE IF NOT EXISTS once (id TEXT PRIMARY KEY); INSERT INTO once VALUES (1)', sql: 'INSERT INTO noted (id) VALUES (:event_id)' };
    bad.setup = `${NOTED}; ${bad.setup}`;
    assert.equal((await hook.reload({ handlers: { note: noting(), bad } })).event, 'config.reloaded', 'the first time it works');
    await hook.stop();
    const { code, words } = await hook.startFails();
    assert.equal(code, 1);
    assert.match(words, /\bbad\b/);
    assert.match(words, /UNIQUE|constraint/i);
    await hook.configure({ handlers: { note: noting() } });
    await hook.start();
    const failed = await hook.reload({ handlers: { note: noting(), bad } });
    assert.equal(failed.event, 'config.reload_failed');
    assert.match(failed.line, /\bbad\b.*constraint/i);
    await hook.configure({ handlers: { note: noting() } });
    await send(hook, 'a');
    await hook.settled('github/a', { state: 'done' });
    assert.equal(await hook.count('once'), 1);
  });

  it('config check refuses what is ours or SQLite’s, and whatever begins or ends transactions, with its place', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    const ours = ['events', 'deliveries', 'attempts', 'dead_letters', 'schema_migrations', 'hooklatch_audit', 'sqlite_master', 'sqlite_schema'];
    const statements = ours.flatMap((table) => [
      `SELECT * FROM ${table}`, `SELECT count(*) FROM "${table.toUpperCase()}"`, `INSERT INTO noted (id) SELECT name FROM (SELECT '' AS name FROM main.${table})`, `DELETE FROM ${table}`,
      `DROP TABLE ${table}`, `CREATE TABLE copy AS SELECT * FROM ${table}`, `CREATE VIEW v AS SELECT * FROM ${table}; INSERT INTO noted (id) SELECT 1 FROM v`,
      `WITH x AS (SELECT 1 FROM ${table}) INSERT INTO noted (id) SELECT 1 FROM x`, `INSERT INTO noted (id) VALUES ((SELECT count(*) FROM ${table}))`, `UPDATE noted SET value = EXISTS (SELECT 1 FROM ${table})`,
    ]);
    statements.push(
      'UPDATE events SET type = 1', "INSERT INTO events (seq) VALUES (1)", 'ALTER TABLE events ADD COLUMN mine', 'ALTER TABLE events RENAME TO theirs', 'CREATE INDEX i ON events (type)',
      'CREATE TRIGGER t AFTER INSERT ON events BEGIN SELECT 1; END', 'CREATE TRIGGER t INSTEAD OF INSERT ON deliveries BEGIN SELECT 1; END', 'CREATE TABLE hooklatch_mine (a)', 'CREATE TABLE IF NOT EXISTS Hooklatch_Later (a)', 'CREATE VIEW hooklatch_v AS SELECT 1',
      'CREATE TRIGGER t AFTER INSERT ON noted BEGIN DELETE FROM events; END; INSERT INTO noted (id) VALUES (1)',
      'SELECT * FROM delivery', 'SELECT * FROM ledger', 'SELECT * FROM dbstat', 'SELECT * FROM sqlite_stmt', "SELECT * FROM pragma_table_info('noted')",
      "ATTACH ':memory:' AS other", 'DETACH main', 'PRAGMA synchronous = OFF', 'PRAGMA user_version', 'PRAGMA writable_schema = 1', 'BEGIN', 'COMMIT', 'END', 'ROLLBACK', 'SAVEPOINT s', 'RELEASE effect', 'ROLLBACK TO effect',
      'VACUUM', "VACUUM INTO 'copy.db'", 'ANALYZE', 'CREATE TEMP TABLE events (a)', 'CREATE TEMP VIEW x AS SELECT 1', "SELECT load_extension('x')",
    );
    await assertAllRefused(hook, statements.flatMap((sql) => [noting({ sql }), noting({ setup: `${NOTED}; ${sql}` })]));
  });

  it('config check refuses SQLite’s own tables where the setup makes them', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    const setup = 'CREATE TABLE IF NOT EXISTS counted (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT)';
    const allowed = await check(hook, { setup, sql: 'INSERT INTO counted (id) VALUES (:event_id)' });
    assert.equal(allowed.code, 0, allowed.text);
    const statements = ['SELECT seq FROM sqlite_sequence', 'CREATE TABLE copy AS SELECT * FROM sqlite_sequence', 'DELETE FROM sqlite_sequence', "UPDATE sqlite_sequence SET seq = 0 WHERE name = 'dead_letter'", "INSERT INTO sqlite_sequence VALUES ('dead_letter', 0)"];
    await assertAllRefused(hook, statements.map((sql) => ({ setup, sql })));
  });

  it('no name of a later table of ours can be taken', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    const statements = ['ALTER TABLE noted RENAME TO hooklatch_noted', 'CREATE INDEX hooklatch_i ON noted (id)', 'CREATE VIRTUAL TABLE hooklatch_f USING fts5(a)'];
    await assertAllRefused(hook, statements.map((sql) => noting({ setup: `${NOTED}; ${sql}` })));
  });

  it('a statement may use the table of another handler’s setup', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { first: noting({ sql: 'INSERT INTO noted (id) VALUES (:event_id)' }) } });
    await hook.configure({ handlers: { first: noting(), second: { on, sql: "INSERT INTO noted (id, value) VALUES (:event_id, 'second')" } } });
    const { code, text } = await hook.cli('config', 'check');
    await hook.configure({ handlers: { first: noting() } });
    assert.equal(code, 0, text);
  });

  it('config check names the place of a mistake, in sql and in setup', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    const text = `store: sqlite:hooklatch.db
sources: {}
handlers:
  note:
    on: [ hooklatch/delivery.dead ]
    setup: "CREATE TABLE IF NOT EXISTS noted (id TEXT)"
    sql: INSERT INTO noted (idd) VALUES (:event_id)
`;
    const place = (changed, word) => text.replace('idd', 'id').replace(...changed).split('\n').map((line, n) => [n + 1, line.indexOf(word) + 1]).find(([, column]) => column > 0);
    for (const [change, word, message] of [
      [['(id) VALUES', '(nothing) VALUES'], 'nothing', /nothing/],
      [['INSERT INTO noted', 'INSERT INTO events'], 'events', /events/],
      [['INSERT INTO noted', 'INSERTT INTO noted'], 'INSERTT', /syntax/],
      [['TEXT)"', 'TEXT))"'], ')"', /syntax/],
      [[':event_id', ':event'], 'INSERT INTO noted', /:event\b.*:event_id/],
    ]) {
      await hook.configureText(text.replace('idd', 'id').replace(...change));
      const said = await hook.cli('config', 'check');
      assert.equal(said.code, 2, said.text);
      const [line, column] = place(change, word);
      assert.match(said.text, message);
      const [, at] = said.text.match(new RegExp(`hooklatch\\.yaml:${line}:(\\d+): error: `)) ?? assert.fail(`not in line ${line}: ${said.text}`);
      // SQLite does not say where a table is that may not be used
      if (word !== 'events') assert.equal(Number(at), column, said.text);
    }
  });

  it('config check refuses unknown and positional parameters, parameters in setup and a long timeout', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    for (const sql of ['INSERT INTO noted (id) VALUES (:id)', 'INSERT INTO noted (id) VALUES (?)', 'INSERT INTO noted (id) VALUES (?1)', 'INSERT INTO noted (id) VALUES (@event_id)', 'INSERT INTO noted (id) VALUES ($event_id)']) await assertRefused(hook, noting({ sql }));
    await assertRefused(hook, noting({ setup: `${NOTED}; INSERT INTO noted (id) VALUES (:event_id)` }));
    await assertRefused(hook, noting({ timeout: '2s' }), /timeout/);
    await assertRefused(hook, noting({ guarantee: 'at-most-once' }), /guarantee/);
    await assertRefused(hook, { setup: NOTED, log: {} }, /setup/);
    await assertRefused(hook, noting({ log: {} }), /exactly one/);
    assert.equal((await check(hook, noting({ timeout: '1s' }))).code, 0);
    assert.equal((await check(hook, noting({ guarantee: 'at-least-once' }))).code, 0);
  });

  it('effectively-once is what it says of itself', async (t) => {
    const hook = await prepare(t, { sources: { github }, handlers: { note: noting() } });
    const { code, text } = await hook.cli('config', 'check');
    assert.equal(code, 0, text);
    const shown = await hook.ok('config', 'show');
    assert.match(shown, /effectively-once/);
    assert.match(shown, /100ms/);
  });

  it('a trigger that reaches for a table of ours is refused, by the check or, made behind its back, when it is set off', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: noting({ retry: retry(1) }), fine: { on, log: {} } } });
    await send(hook, 'before');
    await hook.idle();
    await hook.stop();
    execFileSync('sqlite3', [hook.database, 'create trigger bomb after insert on noted begin delete from events; end']);
    await hook.start();
    await send(hook, 'a');
    const [{ last_error: error }] = await hook.settled('github/a', { handler: 'note', state: 'dead' });
    assert.match(error, /events is hooklatch's own/);
    await hook.settled('github/a', { handler: 'fine', state: 'done' });
    assert.equal(await hook.count('events'), 2);
    assert.equal(await hook.count('noted'), 1);
  });

  it('an error undoes this delivery alone, also one that takes the transaction with it', async (t) => {
    const setup = `${NOTED}; CREATE TABLE IF NOT EXISTS once (id TEXT PRIMARY KEY); INSERT OR IGNORE INTO once VALUES ('taken');
      CREATE TRIGGER IF NOT EXISTS picky BEFORE INSERT ON noted WHEN new.value IN ('fail', 'abort', 'rollback') BEGIN
        SELECT CASE new.value WHEN 'fail' THEN RAISE(FAIL, 'picky fail') WHEN 'abort' THEN RAISE(ABORT, 'picky abort') ELSE RAISE(ROLLBACK, 'picky rollback') END; END`;
    const first = "INSERT INTO noted (id, value) VALUES (:event_id, 'first');";
    const how = ['', 'OR ABORT', 'OR FAIL', 'OR ROLLBACK', 'fail', 'abort', 'rollback'];
    const sql = `INSERT INTO noted (id) VALUES (:event_id); INSERT INTO noted (id, value) VALUES (:event_id || '-again', :body ->> '$.trigger');`;
    const handlers = { plain: { on, setup, retry: retry(2), sql: `${first}${sql}` } };
    for (const word of how.slice(0, 4)) handlers[`h${word.toLowerCase().replace(' ', '-')}`] = { on: ['github/once'], retry: retry(2), setup, sql: `INSERT INTO noted (id) VALUES ('mine-' || :event_id); INSERT ${word} INTO once SELECT 'taken' WHERE :body ->> '$.bad'` };
    const hook = await serve(t, { sources: { github }, handlers, log: quiet, workers: 64 });
    await spread(Array.from({ length: 60 }), 30, async (_, n) => assertAnswer(await hook.send('github', { id: `n${n}`, type: n % 3 ? 'push' : 'once', body: { bad: n % 6 === 0 || null, trigger: n % 5 === 1 ? how[4 + (n % 3)] : null } }), 'accepted'));
    await hook.idle();
    const wrong = (n) => n % 5 === 1;
    for (let n = 0; n < 60; n++) {
      for (const { handler, state, attempts, last_error: error } of await hook.deliveries(`github/n${n}`)) {
        const fails = handler === 'plain' ? wrong(n) : n % 6 === 0;
        assert.deepEqual([state, attempts], fails ? ['dead', 2] : ['done', 1], `${handler} n${n} ${error}`);
        if (fails) assert.match(error, handler === 'plain' ? new RegExp(`picky ${how[4 + (n % 3)]}`) : /UNIQUE constraint failed: once\.id/);
      }
      assert.equal(await hook.count('noted', `id in ('n${n}', 'n${n}-again')`), wrong(n) ? 0 : 3, `effects of n${n}`);
      assert.equal(await hook.count('noted', `id = 'mine-n${n}'`), n % 3 || n % 6 === 0 ? 0 : 4, `effects of n${n} of type once`);
    }
    const letters = await hook.json('dead', 'list', '--handler', 'plain');
    assert.equal(letters.length, 12);
    assert.match(letters[0].last_error, /picky/);
    const { stdout } = await hook.cli('dead', 'show', String(letters[0].id));
    assert.match(stdout, /picky/);
  });

  it('a try that fails is made again, and succeeds when it can', async (t) => {
    const note = noting({ retry: retry(100), sql: 'INSERT INTO noted (id, value) SELECT :event_id, (SELECT 1 FROM switched) WHERE CASE WHEN EXISTS (SELECT 1 FROM switched) THEN 1 ELSE json_extract(\'not yet\', \'$\') END' });
    note.setup += '; CREATE TABLE IF NOT EXISTS switched (a)';
    const flip = { on: ['github/flip'], sql: 'INSERT INTO switched VALUES (1)', setup: 'CREATE TABLE IF NOT EXISTS switched (a)' };
    const hook = await serve(t, { sources: { github }, handlers: { note: { ...note, on: ['github/push'] }, flip } });
    await send(hook, 'a');
    await until('a failure', async () => (await hook.deliveries('github/a'))[0]?.last_error);
    assertAnswer(await hook.send('github', { id: 'f', type: 'flip' }), 'accepted');
    const [{ attempts }] = await hook.settled('github/a', { state: 'done' });
    assert.ok(attempts > 1);
    await assertEachOnce(hook, 1);
    const rows = await hook.sql("select attempt, result from attempts where event_id = 'a' order by attempt");
    assert.deepEqual(rows.map((row) => row.attempt), Array.from({ length: attempts }, (_, n) => n + 1));
    assert.deepEqual(rows.map((row) => row.result), [...Array.from({ length: attempts - 1 }, () => 'failed'), 'succeeded']);
  });

  it('its timeout ends a statement that never would, and the others are kept', async (t) => {
    const endless = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE :body ->> '$.endless')";
    const note = noting({ retry: retry(2), sql: `INSERT INTO noted (id) VALUES (:event_id); ${endless} INSERT INTO noted (id, value) SELECT :event_id || '-more', n FROM c LIMIT 1 OFFSET CASE WHEN :body ->> '$.endless' THEN 1000000000 ELSE 0 END` });
    const look = { on, retry: retry(1), timeout: '300ms', sql: `${endless} SELECT count(*) FROM c` };
    const exec = recorder({ on });
    const hook = await serve(t, { sources: { github }, handlers: { note, look, exec }, log: quiet });
    await spread(Array.from({ length: 20 }), 10, async (_, n) => assertAnswer(await hook.send('github', { id: `n${n}`, body: { endless: n % 10 === 3 ? 1 : null } }), 'accepted'));
    await hook.idle();
    for (let n = 0; n < 20; n++) {
      const rows = await hook.deliveries(`github/n${n}`);
      for (const { handler, state, last_error: error } of rows) {
        assert.equal(state, handler !== 'exec' && n % 10 === 3 ? 'dead' : 'done', `${handler} n${n} ${error}`);
        if (state === 'dead') assert.match(error, /time/i);
      }
      assert.equal(await hook.count('noted', `id in ('n${n}', 'n${n}-more')`), n % 10 === 3 ? 0 : 2);
    }
    const failed = hook.log.filter((entry) => entry.event === 'attempt.failed');
    assert.ok(failed.length >= 6);
    for (const entry of failed) assert.ok(entry.duration_ms >= (entry.handler === 'look' ? 300 : 100), `${entry.handler} was ended after ${entry.duration_ms} ms`);
  });

  it('a statement that meets SQLite’s own limits is a failed try, and the store’s trouble is another thing', async (t) => {
    const setup = `CREATE TABLE IF NOT EXISTS counted (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT)`;
    const note = { on, retry: retry(2), setup, sql: "INSERT INTO counted (n, id) VALUES (:body ->> '$.n', :event_id)" };
    const big = { on: ['github/big'], retry: retry(2), sql: 'SELECT length(zeroblob(500000000) || zeroblob(500000000) || zeroblob(500000000)) WHERE :body ->> \'$.n\'' };
    const fine = noting();
    const hook = await serve(t, { sources: { github }, handlers: { note, big, fine }, log: quiet });
    hook.mortal = true;
    await send(hook, 'last', { n: '9223372036854775807' }); // the highest rowid: the next one without a number is SQLITE_FULL
    await hook.settled('github/last', { state: 'done' });
    await send(hook, 'full', {});
    assertAnswer(await hook.send('github', { id: 'big', type: 'big', body: { n: 5 } }), 'accepted');
    const [{ attempts, last_error: error }] = await hook.settled('github/full', { handler: 'note', deadline: 8000 }).catch(async (caught) => {
      await hook.kill(); // it does not stop either
      throw caught;
    });
    assert.equal(attempts, 2);
    assert.match(error, /full/);
    await hook.settled('github/big', { handler: 'big', state: 'dead' });
    for (let n = 0; n < 20; n++) await send(hook, `n${n}`, { n: n + 10 });
    await hook.idle();
    assert.deepEqual(hook.log.filter((entry) => entry.event.startsWith('store.') && entry.event !== 'store.migrated').map((entry) => entry.line), []);
  });

  it('virtual tables are refused: their code writes when nobody judges it', async (t) => {
    const hook = await prepare(t, { sources: { github }, handlers: {} });
    for (const setup of ["CREATE VIRTUAL TABLE words USING fts5(a)", 'CREATE VIRTUAL TABLE words USING fts4(a)', 'CREATE VIRTUAL TABLE boxes USING rtree(id, a, b)']) {
      await hook.configure({ handlers: { note: { on, setup, sql: 'SELECT 1' } } });
      const { code, stderr } = await hook.cli('config', 'check');
      assert.equal(code, 2, setup);
      assert.match(stderr, /virtual tables are not for handlers/);
    }
    await hook.configure({ handlers: { note: { on, sql: "SELECT fts3_tokenizer('simple', x'4141414141414141')" } } });
    assert.equal((await hook.cli('config', 'check')).code, 2);
    await hook.configure({ handlers: { note: { on, setup: 'CREATE TABLE IF NOT EXISTS mine (a); ALTER TABLE mine RENAME TO hooklatch_mine', sql: 'SELECT 1' } } });
    const renamed = await hook.cli('config', 'check');
    assert.equal(renamed.code, 2);
    assert.match(renamed.stderr, /hooklatch's own/);
  });

  it('statements that take too long hold nobody up for longer than one of them', async (t) => {
    const endless = "INSERT INTO noted (id) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE :event_id <> 'id') SELECT x FROM n WHERE x < 0";
    const note = { on: ['github/slow'], retry: retry(1), concurrency: 64, timeout: '500ms', setup: 'CREATE TABLE IF NOT EXISTS noted (id)', sql: endless };
    const hook = await serve(t, { sources: { github }, handlers: { note }, workers: 100, log: quiet });
    const slow = [];
    for (let n = 0; n < 12; n++) slow.push(hook.send('github', { id: `s${n}`, type: 'slow', body: {} }));
    await Promise.all(slow);
    const begun = Date.now();
    assertAnswer(await hook.send('github', { id: 'next', type: 'other', body: {} }), 'accepted');
    assert.ok(Date.now() - begun < 3000, 'not behind all of them');
    await until('all to be dead', async () => (await hook.stats()).dead === 12, { deadline: 60_000 });
  });

  it('duplicates have no second effect', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: noting() }, log: quiet });
    await spread(Array.from({ length: 200 }), 16, (_, n) => hook.send('github', { id: `n${n % 50}`, body: {} }));
    await hook.idle();
    for (let n = 0; n < 50; n++) assertAnswer(await hook.send('github', { id: `n${n}`, body: {} }), 'duplicate');
    await hook.restart();
    await hook.idle();
    await assertEachOnce(hook, 50);
  });

  it('killed in the middle of two hundred deliveries, each effect is there exactly once', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: noting({ retry: retry(20) }) }, log: quiet, retry_budget: { rate: '1000/s', burst: 1000 } });
    const before = 5;
    let accepted = 0;
    for (let life = 0; life < before; life++) {
      const sending = spread(Array.from({ length: 200 }), 16, async (_, n) => {
        if (!hook.alive) return;
        const response = await hook.send('github', { id: `n${n}`, body: {} }).catch(() => null);
        if (response?.result === 'accepted') accepted += 1;
      });
      await until('some effects', async () => (await hook.count('noted')) >= 35 * (life + 1) || (await Promise.race([sending.then(() => true), null])), { every: 2 });
      await hook.kill();
      await sending;
      const noted = await hook.count('noted');
      assert.equal(noted, await hook.count('deliveries', "state = 'done'"), 'an effect and its record go together');
      await hook.start();
    }
    await spread(Array.from({ length: 200 }), 16, async (_, n) => hook.send('github', { id: `n${n}`, body: {} }));
    await hook.idle();
    assert.ok(accepted > 0);
    await assertEachOnce(hook, 200);
  });

  it('a backlog that is killed while it is worked off is worked off once', async (t) => {
    // The backlog grows behind a program of the same name that hangs.
    const hanging = recorder({ on, concurrency: 1, timeout: '5m', then: waitFor('gate') });
    const hook = await serve(t, { workers: 1, sources: { github }, handlers: { note: hanging }, log: quiet, retry_budget: { rate: '1000/s', burst: 1000 } });
    await spread(Array.from({ length: 200 }), 16, async (_, n) => send(hook, `n${n}`, {}));
    await hook.kill();
    for (const { pid } of await hook.offspring()) end(pid);
    await hook.configure({ handlers: { note: noting({ retry: retry(20) }) } });
    await hook.start();
    await until('some effects', async () => (await hook.count('noted')) > 0, { every: 1 });
    await hook.kill();
    assert.equal(await hook.count('noted'), await hook.count('deliveries', "state = 'done'"));
    await hook.start();
    await hook.idle();
    await assertEachOnce(hook, 200);
  });

  it('what is done runs again only with --again and --yes', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: noting() } });
    for (const id of ['a', 'b']) await send(hook, id);
    await hook.idle();
    const unasked = await hook.cli('events', 'replay', 'github/a', '--state', 'done', '--yes', '--wait');
    assert.match(unasked.text, /--again/, 'what to say instead');
    const unsaid = await hook.cli('events', 'replay', 'github/a', '--state', 'done', '--again');
    assert.equal(unsaid.code, 7, unsaid.text);
    assert.equal(await hook.count('noted'), 2);
    await hook.ok('events', 'replay', 'github/a', '--state', 'done', '--again', '--yes');
    await until('the second effect', async () => (await hook.count('noted', "id = 'a'")) === 2);
    await hook.idle();
    assert.equal(await hook.count('noted', "id = 'b'"), 1);
  });

  it('a dead one can be replayed, and a new handler filled from history, each once', async (t) => {
    const note = noting({ retry: retry(1), sql: "INSERT INTO noted (id) SELECT :event_id WHERE CASE WHEN :body ->> '$.bad' THEN json_extract('no', '$') ELSE 1 END" });
    const hook = await serve(t, { sources: { github }, handlers: { note } });
    await send(hook, 'bad', { bad: 1 });
    await send(hook, 'good', {});
    await hook.settled('github/bad', { state: 'dead' });
    await hook.reload({ handlers: { note: noting(), late: { on, setup: 'CREATE TABLE IF NOT EXISTS late (id TEXT)', sql: 'INSERT INTO late VALUES (:event_id)' } } });
    await hook.ok('dead', 'replay', 'github/bad/note');
    await hook.settled('github/bad', { handler: 'note', state: 'done' });
    await hook.ok('events', 'replay', '--handler', 'late', '--all', '--yes');
    await until('both', async () => (await hook.count('late')) === 2);
    await hook.idle();
    await assertEachOnce(hook, 2);
  });
});
