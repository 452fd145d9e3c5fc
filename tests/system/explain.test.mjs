// explain: for each handler why an event is not running, and when it will; as text and as JSON, which say the same.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, recorder, serve, until, waitFor } from './hook.mjs';

const on = ['github/*'];
const HOUR = 3_600_000;
const retry = (first, more) => ({ attempts: 10, first, factor: 1, max: '2h', jitter: 'none', ...more });
const FOREVER = { cooldown: '10m', max_cooldown: '10m' };
const send = async (hook, id, options) => assertAnswer(await hook.send('github', { id, body: {}, ...options }), 'accepted');
const open = (hook, gate) => writeFile(hook.path(gate), '');
const opens = (hook, handler) => hook.logged((entry) => entry.event === 'breaker.opened' && entry.handler === handler);
// Handlers of another configuration, without another program.
const changed = (program, keys) => ({ place: async (dir, name) => ({ ...(await program.place(dir, name)), ...keys }) });

// What is said about one delivery: its object, the words of its reasons, and the lines that a reader sees.
async function explained(hook, id, handler) {
  const document = await hook.json('explain', `github/${id}`);
  assert.deepEqual([document.source, document.event_id], ['github', id]);
  const delivery = document.deliveries.find((one) => one.handler === handler);
  const text = await hook.ok('explain', `github/${id}`);
  const blocks = text.split(/\n(?! )/).map((block) => block.trimEnd().split('\n'));
  const [head, ...lines] = blocks.find(([first]) => first.startsWith(`${handler}  `));
  return { ...delivery, head, lines, words: delivery.reasons.map((reason) => reason.reason) };
}

// Waits until exactly these reasons are given, and looks at what both forms say of them. `when` is the time that both must tell, in
// milliseconds; null: nobody knows it.
async function assertReasons(hook, id, handler, words, { state = 'pending', when = null, messages = [], attempts } = {}) {
  let seen;
  await until(`${id} of ${handler} to wait for ${words}`, async () => {
    seen = await explained(hook, id, handler);
    return seen.state === state && seen.words.join() === words.join();
  }, { every: 100, say: () => JSON.stringify(seen) });
  const about = JSON.stringify(seen);
  for (const { until: time } of seen.reasons) assert.ok(time === null || /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(time), about);
  assert.deepEqual(seen.lines, seen.reasons.map((reason) => `  ${reason.reason}: ${reason.message}`), 'the text says the same as the JSON');
  for (const [n, message] of messages.entries()) assert.match(seen.reasons[n].message, message);
  if (attempts !== undefined) assert.equal(seen.attempts, attempts, about);
  const told = seen.head.match(/^(\S+)  (\S+)(?:  not before (\S+))?$/);
  assert.deepEqual([told[1], told[2]], [handler, state]);
  if (when === null) {
    assert.equal(seen.next_attempt_at, null, about);
    assert.equal(told[3], undefined, seen.head);
  } else {
    for (const time of [seen.next_attempt_at, told[3]]) assert.ok(Math.abs(Date.parse(time) - when) < 1000, `${time} instead of ${new Date(when).toISOString()}`);
  }
  return seen;
}

describe('explain', { timeout: 120_000, concurrency: 4 }, () => {
  it('a breaker that is open, and until when it is', async (t) => {
    const program = recorder({ on, retry: retry('100ms'), then: 'exit 1', breaker: { failures: 1, ...FOREVER } });
    const fine = recorder({ on });
    const hook = await serve(t, { sources: { github }, handlers: { program, fine } });
    await send(hook, 'first');
    const line = await opens(hook, 'program');
    await send(hook, 'second');
    const when = Date.parse(line.until);
    const { reasons } = await assertReasons(hook, 'second', 'program', ['breaker'], { when, messages: [/\bopen\b/], attempts: 0 });
    assert.ok(Math.abs(Date.parse(reasons[0].until) - when) < 1000, reasons[0].until);
    await assertReasons(hook, 'first', 'program', ['breaker'], { when, attempts: 1 });
    await assertReasons(hook, 'second', 'fine', ['done'], { state: 'done' });
  });

  it('a breaker that is half-open: a probe runs, and nobody knows how long', async (t) => {
    const program = recorder({ on, concurrency: 4, retry: retry('100ms'), then: `[ "$HOOKLATCH_ATTEMPT" != 1 ] || exit 1; ${waitFor('gate')}`, breaker: { failures: 1, cooldown: '1s', max_cooldown: '1s' } });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await send(hook, 'probe');
    await until('the probe', async () => (await program.runs()) === 2);
    await send(hook, 'other');
    await assertReasons(hook, 'other', 'program', ['breaker'], { messages: [/half-open.*probe/], attempts: 0 });
    await assertReasons(hook, 'probe', 'program', ['running'], { state: 'running', messages: [/attempt 2\b/] });
    await open(hook, 'gate');
    await hook.settled('github/probe', { state: 'done' });
  });

  it('of several reasons the one that holds longest says when', async (t) => {
    const fails = (cooldown) => recorder({ on, retry: retry('1h'), then: 'exit 1', breaker: { failures: 1, cooldown, max_cooldown: '3h' } });
    const hook = await serve(t, { sources: { github }, handlers: { backs: fails('10m'), breaks: fails('3h'), pauses: fails('3h') } });
    await send(hook, 'a');
    const lines = {};
    for (const name of ['backs', 'breaks', 'pauses']) lines[name] = await opens(hook, name);
    const due = async (name) => Date.parse((await until('its result', async () => (await hook.deliveries('github/a', name)).find((row) => row.state === 'pending'))).next_attempt_at);
    await assertReasons(hook, 'a', 'backs', ['backoff', 'breaker'], { when: await due('backs') });
    await assertReasons(hook, 'a', 'breaks', ['backoff', 'breaker'], { when: Date.parse(lines.breaks.until) });
    await hook.ok('pause', 'pauses');
    await assertReasons(hook, 'a', 'pauses', ['paused', 'backoff', 'breaker']);
  });

  it('an order: behind which event, and what that one does', async (t) => {
    const program = recorder({ on, order_by: '/key', on_dead: 'hold', concurrency: 4, retry: retry('1h'), then: `case $HOOKLATCH_EVENT_ID in runs.0) ${waitFor('gate')};; waits.0) exit 1;; dies.0) exit 65;; esac` });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    for (const n of [0, 1, 2]) for (const key of ['runs', 'waits', 'dies', 'goes']) await send(hook, `${key}.${n}`, { body: { key } });
    for (const n of [1, 2]) {
      await assertReasons(hook, `runs.${n}`, 'program', ['order'], { messages: [/behind github\/runs\.0, which is running$/], attempts: 0 });
      await assertReasons(hook, `waits.${n}`, 'program', ['order'], { messages: [/behind github\/waits\.0, which is pending$/], attempts: 0 });
      await assertReasons(hook, `dies.${n}`, 'program', ['order'], { messages: [/behind github\/dies\.0, which is dead.*(replay|discard)/], attempts: 0 });
      await assertReasons(hook, `goes.${n}`, 'program', ['done'], { state: 'done' });
    }
    await hook.ok('pause', 'program');
    await assertReasons(hook, 'runs.1', 'program', ['paused', 'order'], { messages: [/program/, /behind github\/runs\.0/] });
    await hook.ok('resume', 'program');
    await open(hook, 'gate');
    for (const n of [0, 1, 2]) await hook.settled(`github/runs.${n}`, { state: 'done' });
  });

  // Two events fail once each; there is a token for one of them. Returns the id of the other.
  async function outOfTokens(hook, handler) {
    for (const id of ['a', 'b']) await send(hook, id);
    const [{ event_id: id }] = await until('one of them to be tried again', async () => {
      const rows = await hook.sql(`select event_id, state, attempts from deliveries where handler = '${handler}'`);
      return rows.filter((row) => row.state === 'done').length === 1 && rows.filter((row) => row.state === 'pending' && row.attempts === 1);
    });
    return id;
  }
  const second = (keys) => recorder({ on, retry: retry('100ms'), then: '[ "$HOOKLATCH_ATTEMPT" != 1 ]', ...keys });
  const scarce = { rate: '1/h', burst: 1 };
  const plenty = { rate: '1000/s', burst: 1000 };

  it('the global retry budget, for a try that needs a token', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { program: second() }, retry_budget: scarce });
    const id = await outOfTokens(hook, 'program');
    await assertReasons(hook, id, 'program', ['budget'], { messages: [/token.*global/], attempts: 1 });
    await hook.reload({ retry_budget: plenty });
    await hook.idle();
  });

  it('the retry budget of the handler, for a try that needs a token', async (t) => {
    const other = second();
    const program = second({ retry_budget: scarce });
    const hook = await serve(t, { sources: { github }, handlers: { program, other }, retry_budget: plenty });
    const id = await outOfTokens(hook, 'program');
    await assertReasons(hook, id, 'program', ['budget'], { messages: [/token.*handler/], attempts: 1 });
    for (const name of ['a', 'b']) await hook.settled(`github/${name}`, { handler: 'other', state: 'done' });
    await hook.reload({ handlers: { program: changed(program, { retry_budget: plenty }), other } });
    await hook.idle();
  });

  it('the concurrency of the handler: all its slots are taken', async (t) => {
    const program = recorder({ on, concurrency: 2, then: waitFor('gate') });
    const fine = recorder({ on });
    const hook = await serve(t, { sources: { github }, handlers: { program, fine } });
    for (const id of ['a', 'b', 'c']) await send(hook, id);
    await until('two to run', async () => (await program.runs()) === 2);
    const [{ event_id: id }] = await hook.sql("select event_id from deliveries where handler = 'program' and state = 'pending'");
    await assertReasons(hook, id, 'program', ['concurrency'], { messages: [/\b2\b.*slots/], attempts: 0 });
    await assertReasons(hook, id, 'fine', ['done'], { state: 'done' });
    await open(hook, 'gate');
    await hook.idle();
  });

  it('the workers: the slot of the handler is taken, and those that it may share', async (t) => {
    const program = recorder({ on, concurrency: 8, then: waitFor('gate') });
    const hook = await serve(t, { sources: { github }, handlers: { program }, workers: 1 });
    for (const id of ['a', 'b', 'c']) await send(hook, id);
    await until('two to run', async () => (await program.runs()) === 2);
    const [{ event_id: id }] = await hook.sql("select event_id from deliveries where state = 'pending'");
    await assertReasons(hook, id, 'program', ['concurrency'], { messages: [/own slot.*workers/], attempts: 0 });
    await open(hook, 'gate');
    await hook.idle();
  });

  it('a backoff, until when it lasts and after which error', async (t) => {
    const program = recorder({ on, retry: retry('1h'), then: 'stamp end; exit 3' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await send(hook, 'a');
    const [row] = await until('the result', async () => {
      const rows = await hook.deliveries('github/a');
      return rows[0].state === 'pending' && rows[0].attempts === 1 && rows;
    });
    const when = Date.parse(row.next_attempt_at);
    const { reasons } = await assertReasons(hook, 'a', 'program', ['backoff'], { when, messages: [/\b3\b/], attempts: 1 });
    assert.equal(Date.parse(reasons[0].until), when);
    assert.ok(reasons[0].message.includes(row.last_error));
    const [{ time }] = await program.notes('end');
    assert.ok(when >= Math.floor(time) + HOUR, `${new Date(when).toISOString()} is earlier than was promised`);
  });

  it('a pause, with its end or without one, and how to end it', async (t) => {
    const program = recorder({ on });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    const end = new Date(Math.floor(Date.now() / 1000) * 1000 + HOUR);
    await hook.ok('pause', 'program', '--until', end.toISOString());
    await send(hook, 'a');
    const { reasons } = await assertReasons(hook, 'a', 'program', ['paused'], { when: end.getTime(), messages: [/paused.*hooklatch resume program/], attempts: 0 });
    assert.equal(Date.parse(reasons[0].until), end.getTime());
    await hook.ok('pause', 'program', '--reason', 'books are closed');
    await assertReasons(hook, 'a', 'program', ['paused'], { messages: [/paused: books are closed; hooklatch resume program/], attempts: 0 });
    await hook.restart();
    await assertReasons(hook, 'a', 'program', ['paused'], { attempts: 0 });
    await hook.ok('resume', 'program');
    await hook.settled('github/a', { state: 'done' });
    assert.equal(await program.runs(), 1);
  });

  it('a handler that is gone: it runs when the name returns', async (t) => {
    const gone = recorder({ on, then: waitFor('gate'), concurrency: 1 });
    const fine = recorder({ on });
    const hook = await serve(t, { sources: { github }, handlers: { gone, fine } });
    for (const id of ['a', 'b']) await send(hook, id);
    await until('one to run', async () => (await gone.runs()) === 1);
    await hook.reload({ handlers: { fine } });
    const [{ event_id: id }] = await hook.sql("select event_id from deliveries where handler = 'gone' and state = 'pending'");
    await assertReasons(hook, id, 'gone', ['handler_gone'], { messages: [/not configured/], attempts: 0 });
    assert.equal((await hook.stats()).orphaned, 1);
    await assertReasons(hook, id, 'fine', ['done'], { state: 'done' });
    await open(hook, 'gate');
    await hook.reload({ handlers: { fine, gone } });
    await hook.idle();
    assert.deepEqual([await gone.runs('a'), await gone.runs('b')], [1, 1]);
  });

  it('what has ended, and what a stopped service leaves', async (t) => {
    const program = recorder({ on, then: 'case $HOOKLATCH_TYPE in bad) echo "no such customer" >&2; exit 65;; esac' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    for (const [id, type] of [['done', 'good'], ['dead', 'bad'], ['discarded', 'bad']]) await send(hook, id, { type });
    await hook.idle();
    await hook.ok('dead', 'discard', 'github/discarded/program');
    await hook.ok('pause', 'program');
    await send(hook, 'left');
    const ends = async () => {
      await assertReasons(hook, 'done', 'program', ['done'], { state: 'done' });
      await assertReasons(hook, 'dead', 'program', ['dead'], { state: 'dead', messages: [/65.*dead replay/] });
      await assertReasons(hook, 'discarded', 'program', ['discarded'], { state: 'discarded', messages: [/dead restore/] });
    };
    await ends();
    await hook.stop();
    await ends();
    await assertReasons(hook, 'left', 'program', ['paused', 'stopped'], { messages: [/resume program/, /stopped/] });
    await hook.start();
    await hook.ok('resume', 'program');
    await hook.settled('github/left', { state: 'done' });
  });
});
