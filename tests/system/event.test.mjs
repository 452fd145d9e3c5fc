// Events on the command line: list, show, replay, tail.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, plain, recorder, serve, until, waitFor, within } from './hook.mjs';

const note = { on: ['*/*'], log: {} };

describe('event', { timeout: 180_000, concurrency: 4 }, () => {
  it('is listed with its deliveries, as JSON, as lines of JSON and as tab-separated text', async (t) => {
    const hook = await serve(t, { sources: { github, plain }, handlers: { note } });
    await hook.send('github', { id: 'e1', type: 'push', body: '{"n":1}' });
    await hook.send('plain', { id: 'e2', type: 'paid' });
    await hook.idle();
    const list = await hook.json('events', 'list');
    assert.equal(list.length, 2);
    const one = list.find((event) => event.event_id === 'e1');
    const row = await hook.event('github/e1');
    assert.deepEqual([one.source, one.type, one.received_at, one.sequence, one.size], ['github', 'push', row.received_at, row.seq, 7]);
    assert.equal(one.deliveries.length, 1);
    assert.deepEqual([one.deliveries[0].handler, one.deliveries[0].state, one.deliveries[0].attempts], ['note', 'done', 1]);
    assert.ok(Math.abs(Date.parse(one.received_at) - Date.now()) < 600_000);

    const lines = (await hook.ok('events', 'list', '--jsonl')).trim().split('\n').map((line) => JSON.parse(line));
    assert.deepEqual(lines.map((event) => event.event_id).sort(), ['e1', 'e2']);
    const table = (await hook.ok('events', 'list')).trim().split('\n');
    assert.ok(table.filter((line) => line.includes('\t') && /\be[12]\b/.test(line)).length === 2, table.join('\n'));
  });

  it('is found by every filter', async (t) => {
    const hook = await serve(t, { sources: { github, plain }, handlers: { note: { ...note, on: ['*/push'] }, broken: recorder({ on: ['plain/*'], then: 'exit 65' }) } });
    for (const [source, id, type] of [['github', 'a1', 'push'], ['github', 'a2', 'issues'], ['plain', 'b1', 'push'], ['plain', 'b2', 'paid']]) assertAnswer(await hook.send(source, { id, type }), 'accepted');
    await hook.idle();
    const found = async (...filters) => (await hook.json('events', 'list', ...filters)).map((event) => event.event_id).sort();
    assert.deepEqual(await found('--source', 'github'), ['a1', 'a2']);
    assert.deepEqual(await found('--source', '*'), ['a1', 'a2', 'b1', 'b2']);
    assert.deepEqual(await found('--type', 'p*'), ['a1', 'b1', 'b2']);
    assert.deepEqual(await found('--id', 'a*'), ['a1', 'a2']);
    assert.deepEqual(await found('--handler', 'note'), ['a1', 'b1']);
    assert.deepEqual(await found('--state', 'dead'), ['b1', 'b2']);
    assert.deepEqual(await found('--state', 'done', '--source', 'plain'), ['b1']);
    assert.deepEqual(await found('--since', '2h'), ['a1', 'a2', 'b1', 'b2']);
    assert.equal((await found('--limit', '2')).length, 2);
    for (const nothing of [['--id', 'none'], ['--until', '2h'], ['--state', 'running'], ['--source', 'github', '--state', 'dead']]) {
      assert.deepEqual(await hook.json('events', 'list', ...nothing, { code: 3 }), [], nothing.join(' '));
    }
    assert.equal((await hook.cli('events', 'list', '--state', 'deaad')).code, 2);
    assert.equal((await hook.cli('events', 'list', '--since', '2')).code, 2);
  });

  it('is shown with its headers and body', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note } });
    await hook.send('github', { id: 'e/1', type: 'push', body: '{"needle":"in the body"}', headers: { 'X-Needle': 'in the head' } });
    await hook.settled('github/e/1');
    const text = await hook.ok('events', 'show', 'github/e/1');
    for (const part of [/in the body/, /in the head/, /push/, /note/, /done/]) assert.match(text, part);
    const shown = await hook.json('events', 'show', 'github/e/1');
    assert.deepEqual([shown.source, shown.event_id, shown.type], ['github', 'e/1', 'push']);
    assert.equal(shown.deliveries[0].state, 'done');
    assert.equal((await hook.cli('events', 'show', 'github/none')).code, 3);
    assert.equal((await hook.cli('events', 'show')).code, 2);
  });

  it('is replayed when it is done, and runs again as a first try', async (t) => {
    const count = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { count } });
    await hook.send('github', { id: 'e1' });
    await hook.settled('github/e1', { state: 'done' });
    await hook.ok('events', 'replay', 'github/e1');
    await until('the second run', async () => (await count.runs('e1')) === 2);
    await hook.settled('github/e1', { state: 'done' });
    assert.deepEqual((await count.records()).map((record) => record.attempt), [1, 1]);
    assert.equal((await hook.stats()).received, 1);
  });

  it('is replayed to a handler that came later', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { ...note, on: ['github/*'] } } });
    for (let n = 0; n < 5; n++) await hook.send('github', { id: `e${n}`, type: n < 3 ? 'push' : 'issues' });
    await hook.idle();
    const late = recorder({ on: ['github/push'] });
    await hook.reload({ handlers: { ...hook.config.handlers, late } });
    const plan = await hook.json('events', 'replay', '--handler', 'late', '--dry-run');
    assert.equal(plan.count, 3, 'what `on` does not match is not counted');
    await hook.ok('events', 'replay', '--handler', 'late', '--yes', '--wait');
    assert.equal((await hook.cli('events', 'replay', '--handler', 'late', '--dry-run')).code, 3, 'nothing is left to be made');
    await hook.idle();
    assert.deepEqual((await late.records()).map((record) => record.id).sort(), ['e0', 'e1', 'e2']);
    assert.equal((await hook.stats()).received, 8);
  });

  it('is replayed to all its handlers, however slow the rate is', async (t) => {
    const [first, second] = [recorder({ on: ['github/*'] }), recorder({ on: ['github/*'] })];
    const hook = await serve(t, { sources: { github }, handlers: { first, second } });
    for (let n = 0; n < 3; n++) await hook.send('github', { id: `e${n}` });
    await hook.idle();
    await hook.ok('events', 'replay', '--source', 'github', '--rate', '9/s', '--wait');
    await hook.idle();
    for (const program of [first, second]) for (let n = 0; n < 3; n++) assert.equal(await program.runs(`e${n}`), 2, `e${n}`);
  });

  it('a replay says beforehand what it takes, skips and refuses', async (t) => {
    const once = recorder({ on: ['github/*'], guarantee: 'at-most-once', why: 'a test' });
    const slow = recorder({ on: ['github/slow'], then: waitFor('gate') });
    const hook = await serve(t, { sources: { github }, handlers: { once, note: { ...note, on: ['github/push'] }, slow } });
    await hook.send('github', { id: 'e1', type: 'push' });
    await hook.send('github', { id: 'e2', type: 'slow' });
    await hook.settled('github/e1');
    await until('the slow one to run', async () => (await slow.runs()) === 1);
    const plan = await hook.json('events', 'replay', '--source', 'github', '--dry-run', { code: 5 });
    assert.deepEqual([plan.count, plan.skipped, plan.refused], [1, 1, 2]);
    assert.ok(plan.first.every((row) => row.handler && row.state === 'done'), JSON.stringify(plan.first));
    const refused = await hook.cli('events', 'replay', '--type', 'slow', '--state', 'done');
    assert.equal(refused.code, 1, refused.text);
    assert.match(refused.text, /--again/);
    assert.equal(await once.runs(), 2);
    await writeFile(hook.path('gate'), '');
    await hook.ok('events', 'replay', '--type', 'push', '--again', '--yes', '--wait');
    await hook.idle();
    await until('the second run', async () => (await once.runs('e1')) === 2);
  });

  it('a death is told by tail after it was replayed', async (t) => {
    const moody = recorder({ on: ['github/*'], then: '[ -e "$dir/good" ] || exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { moody } });
    await hook.send('github', { id: 'x1' });
    await hook.settled('github/x1', { state: 'dead' });
    await writeFile(hook.path('good'), '');
    await hook.ok('dead', 'replay', 'github/x1');
    await hook.settled('github/x1', { state: 'done' });
    const lines = (await hook.ok('tail', '--jsonl', '--id', 'github/x1')).trim().split('\n').map((line) => JSON.parse(line));
    assert.deepEqual(lines.map((line) => line.event).filter((event) => event !== 'delivery.done'), ['event.accepted', 'attempt.failed', 'delivery.dead']);
    assert.equal(lines.find((line) => line.event === 'delivery.dead').reason, 'refused');
  });

  it('is followed as it happens, without a gap over a restart', async (t) => {
    const broken = recorder({ on: ['github/bad'], retry: { attempts: 2, first: '100ms', factor: 1, max: '1s', jitter: 'none' }, then: 'exit 1' });
    const hook = await serve(t, { sources: { github }, handlers: { broken, note: { ...note, on: ['github/good'] } } });
    const tail = spawn(hook.binary, ['tail', '-f', '--jsonl', '-c', hook.file], { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' });
    const gone = new Promise((resolve) => tail.once('close', (code, signal) => resolve({ code, signal })));
    let text = '';
    tail.stdout.setEncoding('utf8').on('data', (part) => (text += part));
    const objects = () => text.split('\n').slice(0, -1).map((line) => JSON.parse(line));
    const told = (event, id) => until(`tail to tell ${event} of ${id}`, () => objects().find((entry) => entry.event === event && entry.event_id === id), { say: () => text });
    try {
      // until it follows, events may be before its beginning
      let n = 0;
      await until('tail to follow', async () => {
        await hook.send('github', { id: `first${n++}`, type: 'good' });
        return objects().length > 0;
      }, { every: 300 });
      await hook.send('github', { id: 'x1', type: 'bad' });
      assert.equal((await told('event.accepted', 'x1')).source, 'github');
      assert.equal((await told('attempt.failed', 'x1')).handler, 'broken');
      await told('delivery.dead', 'x1');
      await hook.restart();
      for (let more = 0; more < 10; more++) await hook.send('github', { id: `y${more}`, type: 'good' });
      for (let more = 0; more < 10; more++) await told('event.accepted', `y${more}`);
      const ids = objects().filter((entry) => entry.event === 'event.accepted').map((entry) => entry.event_id);
      assert.equal(new Set(ids).size, ids.length, 'an event was told twice');
    } finally {
      tail.kill('SIGTERM');
      await within('tail to end', gone).catch(() => tail.kill('SIGKILL'));
    }
  });

  it('is told by tail without -f, filtered', async (t) => {
    const hook = await serve(t, { sources: { github, plain }, handlers: { note } });
    await hook.send('github', { id: 'a1' });
    await hook.send('plain', { id: 'b1' });
    await hook.idle();
    const lines = (await hook.ok('tail', '--jsonl', '--source', 'plain')).trim().split('\n').map((line) => JSON.parse(line));
    assert.ok(lines.some((entry) => entry.event_id === 'b1'));
    assert.ok(!lines.some((entry) => entry.event_id === 'a1'));
    for (const entry of lines) for (const key of ['ts', 'level', 'event', 'msg']) assert.equal(typeof entry[key], 'string', `${key} of ${JSON.stringify(entry)}`);
  });

  it('can be read with the service stopped', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note } });
    await hook.send('github', { id: 'e1' });
    await hook.settled('github/e1');
    await hook.stop();
    assert.equal((await hook.json('events', 'list')).length, 1);
    assert.equal((await hook.json('events', 'show', 'github/e1')).event_id, 'e1');
    const stats = await hook.stats();
    assert.deepEqual([stats.received, stats.done], [1, 1]);
  });

  it('names that would move the cursor are escaped in tables', async (t) => {
    const hook = await serve(t, { sources: { plain }, handlers: {} });
    await hook.send('plain', { body: JSON.stringify({ id: 'a b', type: '\u001b[2J\u0007\tx\ny' }) });
    const table = await hook.ok('events', 'list');
    assert.ok(!/[\x00-\x08\x0b-\x1f\x7f]/.test(table), JSON.stringify(table));
  });
});
