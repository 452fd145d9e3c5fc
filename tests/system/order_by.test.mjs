// order_by: the events of one key are handled one at a time, in the order in which they came; other keys do not wait for them. That holds
// through failing heads, deaths, kills, restarts and reloads, whatever the concurrency.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, end, github, prepare, recorder, serve, spread, until, waitFor } from './hook.mjs';

const on = ['github/*'];
const budget = { rate: '1000/s', burst: 1000 };
const retry = (attempts, more) => ({ attempts, first: '100ms', factor: 1, max: '2s', jitter: 'none', ...more });
// Notes its end too, whatever it ends with. A killed one does not: the notes of another life begin anew.
const ordered = ({ then = 'exit 0', ...keys } = {}) => recorder({ on, order_by: '/key', concurrency: 8, then: `trap 'stamp end' EXIT; ${then}`, ...keys });
const open = (hook, gate) => writeFile(hook.path(gate), '');

// Sends one event after the other: <key>.<number>, so the order of arrival is the order of sending.
async function sendRounds(hook, keys, count, from = 0) {
  for (let n = from; n < from + count; n++) for (const key of keys) assertAnswer(await hook.send('github', { id: `${key}.${n}`, body: { key } }), 'accepted');
}

// By the notes in the order in which they were written: of a key nobody begins while another one runs, and nobody goes back behind an older
// one. Returns the ids that began, by key. `cut` are the lengths of the file at which a life was killed.
async function assertOrder(program, { keyOf = (id) => id.split('.')[0], cut = [] } = {}) {
  const keys = new Map();
  for (const [n, note] of (await program.notes()).entries()) {
    if (cut.includes(n)) for (const key of keys.values()) key.running = null;
    const name = keyOf(note.id);
    if (name === undefined) continue;
    if (!keys.has(name)) keys.set(name, { running: null, last: 0, began: [] });
    const key = keys.get(name);
    if (note.what === 'start') {
      assert.equal(key.running, null, `${note.id} began while ${key.running} ran`);
      assert.ok(note.sequence >= key.last, `${note.id} began after a younger one`);
      Object.assign(key, { running: note.id, last: note.sequence });
      key.began.push(note.id);
    } else {
      assert.equal(note.id, key.running, 'what ends is what began');
      key.running = null;
    }
  }
  return Object.fromEntries([...keys].map(([name, key]) => [name, key.began]));
}

describe('order_by', { timeout: 300_000, concurrency: 3 }, () => {
  for (const concurrency of [1, 8]) {
    it(`of one key one at a time, in the order of arrival, with a concurrency of ${concurrency}`, async (t) => {
      const program = ordered({ concurrency, then: 'sleep 0.02' });
      const hook = await serve(t, { sources: { github }, handlers: { program } });
      await sendRounds(hook, ['a', 'b', 'c'], 10);
      await hook.idle();
      const began = await assertOrder(program);
      for (const key of ['a', 'b', 'c']) assert.deepEqual(began[key], Array.from({ length: 10 }, (_, n) => `${key}.${n}`));
    });
  }

  it('a key that hangs holds its own events, not those of others', async (t) => {
    const program = ordered({ then: `case $HOOKLATCH_EVENT_ID in a.*) ${waitFor('gate')};; esac` });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await sendRounds(hook, ['a', 'b', 'c'], 5);
    for (const key of ['b', 'c']) for (let n = 0; n < 5; n++) await hook.settled(`github/${key}.${n}`, { state: 'done' });
    assert.equal(await program.runs('a.0'), 1);
    for (let n = 1; n < 5; n++) assert.deepEqual((await hook.deliveries(`github/a.${n}`)).map((row) => [row.state, row.attempts]), [['pending', 0]]);
    await open(hook, 'gate');
    await hook.idle();
    await assertOrder(program);
  });

  it('different keys run at the same time', async (t) => {
    const program = ordered({ concurrency: 4, then: waitFor('gate') });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await sendRounds(hook, ['a', 'b', 'c', 'd'], 2);
    await until('all four keys to run at once', async () => (await program.runs()) === 4);
    await open(hook, 'gate');
    await hook.idle();
    await assertOrder(program);
  });

  for (const concurrency of [1, 8]) {
    it(`a head that fails holds its own key through its backoff, then the order goes on, with a concurrency of ${concurrency}`, async (t) => {
      const program = ordered({ concurrency, retry: retry(5, { first: '1s' }), then: 'case $HOOKLATCH_EVENT_ID$HOOKLATCH_ATTEMPT in a.01|a.02) exit 1;; esac' });
      const hook = await serve(t, { sources: { github }, handlers: { program } });
      await sendRounds(hook, ['a', 'b'], 4);
      for (let n = 0; n < 4; n++) await hook.settled(`github/b.${n}`, { state: 'done' });
      assert.equal(await hook.count('deliveries', "state = 'done' and event_id like 'a.%'"), 0, 'b did not wait for a');
      await hook.idle();
      const { a } = await assertOrder(program);
      assert.deepEqual(a, ['a.0', 'a.0', 'a.0', 'a.1', 'a.2', 'a.3']);
      const starts = (await program.records()).filter((record) => record.id === 'a.0');
      const ends = (await program.notes('end')).filter((note) => note.id === 'a.0');
      for (const n of [0, 1]) assert.ok(starts[n + 1].time - ends[n].time >= 1000, `tried again after ${starts[n + 1].time - ends[n].time} ms`);
    });
  }

  it('an event that comes while the head waits for its next try does not overtake it', async (t) => {
    const program = ordered({ retry: retry(5, { first: '1500ms' }), then: '[ "$HOOKLATCH_ATTEMPT" = 2 ] || [ "$HOOKLATCH_EVENT_ID" != a.0 ]' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await sendRounds(hook, ['a'], 1);
    await until('the first failure', async () => (await hook.deliveries('github/a.0'))[0]?.last_error);
    await sendRounds(hook, ['a'], 3, 1);
    await hook.idle();
    assert.deepEqual((await assertOrder(program)).a, ['a.0', 'a.0', 'a.1', 'a.2', 'a.3']);
  });

  it('on_dead: skip goes on after a dead head, whether it was refused or used up its attempts', async (t) => {
    const program = ordered({ on_dead: 'skip', retry: retry(2), then: 'case $HOOKLATCH_EVENT_ID in a.0) exit 65;; b.0) exit 1;; esac' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await sendRounds(hook, ['a', 'b'], 3);
    await hook.idle();
    const began = await assertOrder(program);
    assert.deepEqual(began, { a: ['a.0', 'a.1', 'a.2'], b: ['b.0', 'b.0', 'b.1', 'b.2'] });
    assert.equal(await hook.count('deliveries', "state = 'dead'"), 2);
    assert.equal(await hook.count('deliveries', "state = 'done'"), 4);
  });

  // Four keys with a dead head that holds them, and one without.
  const holding = () => ordered({ on_dead: 'hold', then: 'case $HOOKLATCH_EVENT_ID in ?.0) [ -e "$dir/good" ] || [ "${HOOKLATCH_EVENT_ID%.0}" = z ] || exit 65;; esac' });
  async function held(t) {
    const program = holding();
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await sendRounds(hook, ['a', 'b', 'c', 'z'], 3);
    for (const key of ['a', 'b', 'c']) await hook.settled(`github/${key}.0`, { state: 'dead' });
    for (let n = 0; n < 3; n++) await hook.settled(`github/z.${n}`, { state: 'done' });
    return { hook, program };
  }
  const waiting = (hook, key) => hook.count('deliveries', `event_id like '${key}.%' and state = 'pending' and attempts = 0`);

  it('on_dead: hold keeps the key until its head is replayed, discarded or sent again', async (t) => {
    const { hook, program } = await held(t);
    for (const key of ['a', 'b', 'c']) assert.equal(await waiting(hook, key), 2, key);
    await open(hook, 'good');
    await hook.ok('dead', 'replay', 'github/a.0/program');
    await hook.settled('github/a.2', { state: 'done' });
    await hook.ok('dead', 'discard', 'github/b.0/program');
    await hook.settled('github/b.2', { state: 'done' });
    assert.equal(await waiting(hook, 'c'), 2, 'nobody touched it');
    assertAnswer(await hook.send('github', { id: 'c.0', body: { key: 'c' } }), 'revived');
    await hook.settled('github/c.2', { state: 'done' });
    const began = await assertOrder(program);
    assert.deepEqual([began.a, began.b, began.c], [['a.0', 'a.0', 'a.1', 'a.2'], ['b.0', 'b.1', 'b.2'], ['c.0', 'c.0', 'c.1', 'c.2']]);
  });

  it('on_dead: hold outlives a restart and a kill', async (t) => {
    const { hook, program } = await held(t);
    await hook.restart();
    await sendRounds(hook, ['a', 'z'], 1, 3);
    await hook.settled('github/z.3', { state: 'done' });
    await hook.kill();
    await hook.start();
    await sendRounds(hook, ['z'], 1, 4);
    await hook.settled('github/z.4', { state: 'done' });
    assert.equal(await waiting(hook, 'a'), 3);
    await open(hook, 'good');
    await hook.ok('dead', 'replay', '--all', '--yes');
    await hook.idle();
    const began = await assertOrder(program);
    assert.deepEqual(began.a, ['a.0', 'a.0', 'a.1', 'a.2', 'a.3']);
  });

  it('on_dead: hold holds again when a discarded head is restored, and a replay while the service is stopped frees it', async (t) => {
    const { hook, program } = await held(t);
    await hook.ok('dead', 'discard', 'github/a.0/program');
    await hook.settled('github/a.2', { state: 'done' });
    const [{ id }] = await hook.json('dead', 'list', '--state', 'discarded');
    await hook.ok('dead', 'restore', String(id));
    await sendRounds(hook, ['a', 'z'], 1, 3);
    await hook.settled('github/z.3', { state: 'done' });
    assert.equal(await waiting(hook, 'a'), 1, 'a dead one is older');
    await hook.stop();
    await open(hook, 'good');
    await hook.ok('dead', 'replay', '--all', '--yes');
    await hook.start();
    await hook.idle();
    const { b } = await assertOrder(program, { keyOf: (id) => (id === 'a.0' ? undefined : id[0]) }); // it came back behind younger ones
    assert.deepEqual(b, ['b.0', 'b.0', 'b.1', 'b.2']);
  });

  it('a reload from hold to skip lets the waiting ones go, and back again holds', async (t) => {
    const { hook, program } = await held(t);
    await hook.reload({ handlers: { program: { place: async (dir, name) => ({ ...(await program.place(dir, name)), on_dead: 'skip' }) } } });
    for (const key of ['a', 'b', 'c']) await hook.settled(`github/${key}.2`, { state: 'done' });
    await hook.reload({ handlers: { program } });
    await sendRounds(hook, ['a', 'z'], 1, 3);
    await hook.settled('github/z.3', { state: 'done' });
    assert.equal(await waiting(hook, 'a'), 1);
    await hook.ok('dead', 'discard', '--all', '--yes');
    await hook.idle();
    await assertOrder(program);
  });

  it('events without the value have no order', async (t) => {
    const program = ordered({ concurrency: 6, then: waitFor('gate') });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    const bodies = [{}, { other: 1 }, 'no JSON', '[]', { Key: 'x' }, { key: undefined }];
    for (const [n, body] of bodies.entries()) assertAnswer(await hook.send('github', { id: `n${n}`, body }), 'accepted');
    await until('all to run at once', async () => (await program.runs()) === bodies.length);
    await open(hook, 'gate');
    await hook.idle();
  });

  it('a key is a text, a number or a truth value, and each value is its own key', async (t) => {
    const program = ordered({ concurrency: 16, then: waitFor('gate') });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    const values = { text: '"x"', escaped: '"\\u00e9\\"/~"', empty: '""', number: '7', large: '12345678901234567890123', fraction: '1.5', yes: 'true', no: 'false', long: `"${'k'.repeat(5000)}"`, longer: `"${'k'.repeat(4999)}l"` };
    const send = (n) => spread(Object.entries(values), 1, async ([name, value]) => assertAnswer(await hook.send('github', { id: `${name}.${n}`, body: `{"key":${value}}` }), 'accepted'));
    for (const n of [0, 1, 2]) await send(n);
    await until('each key to run', async () => (await program.runs()) === Object.keys(values).length);
    assert.equal((await program.records()).every((record) => record.id.endsWith('.0')), true);
    await open(hook, 'gate');
    await hook.idle();
    await assertOrder(program);
    assert.equal(await program.runs(), 3 * Object.keys(values).length);
  });

  it('a text is the same key however it is escaped', async (t) => {
    const program = ordered({ then: waitFor('gate') });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    for (const [n, text] of ['"\\u0061/b"', '"a\\/b"', '"a/b"'].entries()) await hook.send('github', { id: `k.${n}`, body: `{"key":${text}}` });
    await hook.send('github', { id: 'o.0', body: '{"key":"other"}' });
    await until('the other key to run', async () => (await program.runs('o.0')) === 1);
    assert.equal(await program.runs(), 2);
    await open(hook, 'gate');
    await hook.idle();
    await assertOrder(program);
  });

  it('events whose value is an object are in order too, or have none: all are handled', async (t) => {
    const program = ordered({ then: 'sleep 0.02' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    for (let n = 0; n < 6; n++) assertAnswer(await hook.send('github', { id: `o${n}`, body: { key: n % 2 ? { id: 1 } : [1] } }), 'accepted');
    await hook.idle();
    assert.equal(await program.runs(), 6);
    assert.equal(await hook.count('deliveries', "state = 'done'"), 6);
  });

  it('an at-most-once try that is replayed while it runs is left alone, and holds nothing up afterwards', async (t) => {
    const program = ordered({ guarantee: 'at-most-once', why: 'a test', then: 'until [ -e "$dir/gate" ]; do sleep 0.05; done' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await hook.send('github', { id: 'a', body: { key: 'k' } });
    await hook.send('github', { id: 'b', body: { key: 'k' } });
    await until('the first try', async () => (await program.runs('a')) === 1);
    const replay = await hook.cli('events', 'replay', 'github/a', '--again', '--yes', '--wait');
    assert.equal(replay.code, 0, replay.text);
    assert.equal(await program.runs(), 1, 'its try is under way: it is skipped');
    await open(hook, 'gate');
    await hook.settled('github/b', { state: 'done' });
    await until('both tries', async () => (await program.runs('b')) === 1);
    await hook.idle();
  });

  it('the empty text is a key like any other', async (t) => {
    const program = ordered({ on_dead: 'hold', then: '[ "$HOOKLATCH_EVENT_ID" != a ] || exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    for (const id of ['a', 'b']) await hook.send('github', { id, body: { key: '' } });
    await hook.settled('github/a', { state: 'dead' });
    assert.equal((await hook.deliveries('github/b'))[0].state, 'pending');
    await hook.reload({ handlers: { program: { place: async (dir, name) => ({ ...(await program.place(dir, name)), on_dead: 'skip' }) } } });
    await hook.settled('github/b', { state: 'done' });
  });

  it('the order holds for at-most-once too', async (t) => {
    const program = ordered({ guarantee: 'at-most-once', why: 'twice would be worse', then: 'case $HOOKLATCH_EVENT_ID in a.*) [ -e "$dir/gate" ] || { ' + waitFor('gate') + '; };; esac' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await sendRounds(hook, ['a', 'b'], 3);
    await until('the other key to be through', async () => (await program.notes('end')).filter((note) => note.id.startsWith('b.')).length === 3);
    const began = (await program.records()).filter((record) => record.id.startsWith('a.')).map((record) => record.id);
    await open(hook, 'gate');
    await until('all to be through', async () => (await program.notes('end')).length === 6);
    assert.deepEqual(began, ['a.0']);
    await assertOrder(program);
  });

  it('the order outlives kills and restarts, also of heads that were cut off', async (t) => {
    const program = ordered({ concurrency: 6, retry: retry(20), then: 'sleep 0.03' });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: budget });
    const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const cut = [];
    await sendRounds(hook, keys, 10);
    for (const wanted of [20, 45]) {
      await until(`${wanted} runs`, async () => (await program.runs()) >= wanted, { every: 5 });
      await hook.kill();
      for (const { pid } of await hook.offspring()) end(pid);
      await until('them to be gone', async () => (await hook.offspring()).length === 0);
      cut.push((await program.notes()).length);
      await hook.start();
    }
    await hook.restart();
    await hook.idle({ deadline: 40_000 });
    const began = await assertOrder(program, { cut });
    for (const key of keys) assert.deepEqual([...new Set(began[key])], Array.from({ length: 10 }, (_, n) => `${key}.${n}`), key);
    assert.equal(await hook.count('deliveries', "state = 'done'"), 80);
  });

  it('a reload that adds order_by orders what comes from then on, and the backlog is handled whole', async (t) => {
    const before = recorder({ on, concurrency: 2, then: `trap 'stamp end' EXIT; case $HOOKLATCH_EVENT_ID in old.*) ${waitFor('gate')};; esac` });
    const program = ordered({ concurrency: 8, then: 'sleep 0.02' });
    const hook = await serve(t, { sources: { github }, handlers: { program: before } });
    await sendRounds(hook, ['old'], 12);
    await until('the backlog to be stuck', async () => (await before.runs()) === 2);
    await hook.reload({ handlers: { program } });
    await sendRounds(hook, ['a', 'b'], 6);
    await open(hook, 'gate');
    await hook.idle();
    const began = await assertOrder(program, { keyOf: (id) => (id.startsWith('old') ? undefined : id[0]) });
    for (const key of ['a', 'b']) assert.deepEqual(began[key], Array.from({ length: 6 }, (_, n) => `${key}.${n}`));
    assert.equal(await hook.count('deliveries', "state = 'done'"), 24);
  });

  it('a handler that is filled from history has the order too', async (t) => {
    const seen = { on, log: {} };
    const program = ordered({ then: 'sleep 0.02' });
    const hook = await serve(t, { sources: { github }, handlers: { seen } });
    await sendRounds(hook, ['a', 'b', 'c'], 6);
    await hook.reload({ handlers: { seen, program } });
    await hook.ok('events', 'replay', '--handler', 'program', '--all', '--yes');
    await sendRounds(hook, ['a', 'b', 'c'], 2, 6);
    await until('all to be handled', async () => (await program.notes('end')).length === 24);
    await hook.idle();
    for (const key of ['a', 'b', 'c']) {
      const ids = (await program.notes()).filter((note) => note.id.startsWith(key)).map((note) => note.id);
      assert.deepEqual(ids.filter((id, n) => n % 2 && id !== ids[n - 1]), [], 'one at a time');
      const old = ids.filter((id) => Number(id.slice(2)) < 6);
      assert.deepEqual(old, Array.from({ length: 12 }, (_, n) => `${key}.${Math.floor(n / 2)}`));
    }
  });

  it('a reload that takes order_by away leaves nothing behind', async (t) => {
    const program = ordered({ on_dead: 'hold', then: 'case $HOOKLATCH_EVENT_ID in a.0) exit 65;; b.0) ' + waitFor('gate') + ';; esac' });
    const after = recorder({ on, concurrency: 8 });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await sendRounds(hook, ['a', 'b'], 5);
    await hook.settled('github/a.0', { state: 'dead' });
    await until('b to run', async () => (await program.runs('b.0')) === 1);
    await hook.reload({ handlers: { program: after } });
    await open(hook, 'gate');
    await hook.idle();
    assert.equal(await hook.count('deliveries', "state = 'done'"), 9);
  });

  it('several hundred keys, some of which fail at first', async (t) => {
    const program = ordered({ concurrency: 6, retry: retry(3), then: 'case $HOOKLATCH_EVENT_ID$HOOKLATCH_ATTEMPT in *7.01|*3.11) exit 1;; esac' });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: budget, workers: 6, log: { format: 'json', level: 'info' } });
    const keys = Array.from({ length: 300 }, (_, n) => `k${n}`);
    for (const n of [0, 1, 2]) await spread(keys, 16, async (key) => assertAnswer(await hook.send('github', { id: `${key}.${n}`, body: { key } }), 'accepted'));
    await hook.idle({ deadline: 60_000 });
    const began = await assertOrder(program);
    for (const key of keys) {
      const ids = [0, 1, 2].map((n) => `${key}.${n}`);
      if (key.endsWith('7')) ids.unshift(`${key}.0`);
      if (key.endsWith('3')) ids.splice(1, 0, `${key}.1`);
      assert.deepEqual(began[key], ids);
    }
  });

  it('a thousand events of three hundred keys through sql', async (t) => {
    const note = { on, order_by: '/key', concurrency: 8, setup: 'CREATE TABLE IF NOT EXISTS noted (n INTEGER PRIMARY KEY, key TEXT, sequence INTEGER)', sql: "INSERT INTO noted (key, sequence) VALUES (json_extract(:body, '$.key'), :sequence)" };
    const hook = await serve(t, { sources: { github }, handlers: { note }, log: { format: 'json', level: 'info' } });
    await spread(Array.from({ length: 1000 }), 16, async (_, n) => assertAnswer(await hook.send('github', { id: `e${n}`, body: { key: `k${(n * 7919) % 300}` } }), 'accepted'));
    await hook.idle({ deadline: 60_000 });
    assert.equal(await hook.count('noted'), 1000);
    assert.deepEqual(await hook.sql('select a.key from noted a join noted b on a.key = b.key and a.n < b.n and a.sequence > b.sequence'), []);
  });

  it('what has no meaning with order_by is refused', async (t) => {
    const hook = await prepare(t, { sources: { github }, handlers: {} });
    for (const [keys, word] of [[{ on_dead: 'hold' }, /on_dead/], [{ order_by: 'key' }, /order_by/], [{ order_by: '/key', on_dead: 'wait' }, /on_dead/]]) {
      await hook.configure({ handlers: { note: { on, log: {}, ...keys } } });
      const { code, text } = await hook.cli('config', 'check');
      assert.equal(code, 2, JSON.stringify(keys));
      assert.match(text, /hooklatch\.yaml:\d+:\d+: error: /);
      assert.match(text, word);
    }
  });
});
