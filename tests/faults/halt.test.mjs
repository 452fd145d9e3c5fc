// Ends under load: by every signal that ends a service, once and twice and with SIGKILL in the middle of it, with clients that go on all the
// while. Nothing that was acknowledged is lost, what was not is sent again, and what belongs together is done once.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, https, prepare, recorder, serve, until, within } from '../system/hook.mjs';
import { activated, heldSocket } from '../system/socket.mjs';
import { score, share } from './matrix.mjs';

const on = ['github/*'];
const retry = { attempts: 20, first: '20ms', factor: 1, max: '100ms', jitter: 'none' };
const quiet = { format: 'json', level: 'info' };
const plenty = { rate: '10000/s', burst: 10_000 };
const gone = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOANSWER', 'ECLOSED', 'ENOENT']);

// Senders that send each event until it is acknowledged, whatever happens to the service.
function senders(hook, lanes) {
  const state = { going: true, acknowledged: new Set(), twice: 0, refused: 0, unanswered: 0, slowest: 0, wrong: [] };
  const all = Promise.all(Array.from({ length: lanes }, async (_, lane) => {
    for (let n = 0; state.going; n++) {
      const id = `${lane}-${n}`;
      for (let tries = 0; !state.acknowledged.has(id); tries++) {
        const begun = performance.now();
        const connection = await hook.connect().catch((error) => error);
        try {
          if (connection instanceof Error) throw connection;
          const { result } = await hook.send('github', { connection, id, body: {}, deadline: 40_000 });
          if (result === 'accepted' || (result === 'duplicate' && tries > 0)) {
            state.acknowledged.add(id);
            if (result === 'duplicate') state.twice += 1;
            state.slowest = Math.max(state.slowest, performance.now() - begun);
          } else if (result !== 'store_unavailable' && result !== 'overloaded') {
            state.wrong.push(`${id}: ${result}`);
            break;
          }
        } catch (error) {
          const ours = gone.has(error.code) || /ended (inside|early)|disconnected/.test(error.message);
          if (!ours && state.wrong.push(`${error.code} ${error.message.split('\n')[0]}`) > 20) return;
          if (error.code === 'ECONNREFUSED') state.refused += 1;
          else state.unanswered += 1;
          if (!hook.alive) await until('a new life', () => hook.alive || !state.going, { deadline: 60_000 });
          if (!state.going) break;
        } finally {
          if (!(connection instanceof Error)) connection.close();
        }
      }
    }
  }));
  state.more = (count) => {
    const wanted = state.acknowledged.size + count;
    return until(`${count} more events`, () => state.acknowledged.size >= wanted || state.wrong.length > 0, { every: 5, deadline: 40_000, say: () => state.wrong.join('\n') });
  };
  state.stop = async () => {
    state.going = false;
    await all;
  };
  return state;
}

// What was acknowledged is stored, and nothing twice; each was handled, as often as kills allow.
async function compare(hook, state, program, kills) {
  await hook.idle({ deadline: 60_000 });
  const stored = (await hook.sql('select event_id, count(*) as n from events group by event_id'));
  const known = new Set(stored.map((row) => row.event_id));
  const lost = [...state.acknowledged].filter((id) => !known.has(id));
  const doubled = stored.filter((row) => row.n > 1).length;
  const runs = new Map();
  for (const { id } of await program.records()) runs.set(id, (runs.get(id) ?? 0) + 1);
  const never = [...state.acknowledged].filter((id) => !runs.has(id));
  const again = [...runs.values()].reduce((sum, count) => sum + count - 1, 0);
  assert.deepEqual([lost, never, doubled], [[], [], 0]);
  assert.ok(again <= kills, `${again} tries more than events; ${kills} may have been cut off`);
  return { lost: lost.length + never.length, doubled };
}

describe('halt', { timeout: 240_000, concurrency: 2 }, () => {
  it('row 52: signals under load: SIGTERM, SIGINT, twice, and SIGKILL in the middle of a stop', async (t) => {
    const program = recorder({ on, concurrency: 4, timeout: '20s', retry });
    const hook = await serve(t, { sources: { github }, handlers: { program, note: { on, log: {} } }, retry_budget: plenty, drain: '10s', log: quiet });
    const ends = { SIGTERM: ['SIGTERM'], SIGINT: ['SIGINT'], 'SIGTERM twice': ['SIGTERM', 'SIGTERM'], 'SIGTERM with SIGHUPs': ['SIGHUP', 'SIGTERM', 'SIGHUP'], 'SIGTERM, then SIGKILL': ['SIGTERM', 'SIGKILL'] };
    const port = hook.address().port;
    await hook.configure({ listen: [{ ...https(), https: `127.0.0.1:${port}` }] }); // who comes again must find it
    const state = senders(hook, 6);
    const rounds = share(6, 1);
    let cut = 0;
    let slowest = 0;
    hook.mortal = true;
    try {
      for (let round = 0; round < rounds; round++) {
        for (const [name, signals] of Object.entries(ends)) {
          await state.more(40);
          const begun = performance.now();
          for (const signal of signals) process.kill(hook.pid, signal);
          const death = await within(`the end by ${name}`, hook.death, { say: () => hook.tail() });
          slowest = Math.max(slowest, performance.now() - begun);
          const killed = signals.includes('SIGKILL');
          if (killed) assert.ok(death.signal === 'SIGKILL' || death.code === 0, JSON.stringify(death));
          else assert.deepEqual(death, { code: 0, signal: null }, `${name}\n${hook.tail()}`);
          // A try is cut off by a kill, or by a second signal that does not wait for it.
          if (signals.length > 1 && name !== 'SIGTERM with SIGHUPs') cut += 4;
          await hook.start();
        }
      }
      await state.more(40);
    } finally {
      await state.stop();
    }
    assert.deepEqual(state.wrong, []);
    const figures = await compare(hook, state, program, cut);
    t.diagnostic(`${state.acknowledged.size} acknowledged, ${state.twice} of them on a second try; ${state.unanswered} without an answer`);
    score(t, 52, { cases: rounds * Object.keys(ends).length, ...figures, seconds: slowest / 1000 });
  });

  it('row 52: a program that does not end is waited for as long as was said, told, killed, and tried again', async (t) => {
    const drain = share(5, 1);
    const program = recorder({ on, concurrency: 2, timeout: '5m', then: `trap 'stamp told' TERM; until [ -e "$dir/gate" ]; do sleep 0.05; done` });
    const hook = await serve(t, { sources: { github }, handlers: { program }, drain: `${drain}s`, retry_budget: plenty });
    for (const id of ['a', 'b', 'c']) assertAnswer(await hook.send('github', { id }), 'accepted');
    await until('two to run', async () => (await program.runs()) === 2);
    const begun = performance.now();
    await hook.stop({ deadline: 60_000 });
    const seconds = (performance.now() - begun) / 1000;
    assert.ok(seconds >= drain, `it waited ${seconds} s`);
    assert.equal((await program.notes('told')).length, 2);
    assert.equal((await hook.offspring()).length, 0);
    assert.deepEqual((await hook.sql('select distinct state, attempts from deliveries')), [{ state: 'pending', attempts: 0 }]);
    await writeFile(hook.path('gate'), '');
    await hook.start();
    await hook.idle();
    score(t, 52, { cases: 3, seconds });
  });

  it('row 53: restarts with an inherited socket under load: nobody is refused, after a stop and after a SIGKILL', async (t) => {
    const socket = await heldSocket();
    t.after(() => socket.close());
    const program = recorder({ on, concurrency: 4, retry });
    const hook = await prepare(t, { listen: [{ ...https(), https: `127.0.0.1:${socket.port}` }], sources: { github }, handlers: { program }, retry_budget: plenty, log: quiet });
    const life = { ...activated, fds: [socket.fd] };
    await hook.start(life);
    const state = senders(hook, 6);
    hook.mortal = true;
    const rounds = share(10, 2);
    let unanswered = 0;
    try {
      for (let round = 0; round < rounds; round++) {
        await state.more(40);
        const before = state.unanswered;
        process.kill(hook.pid, 'SIGTERM');
        assert.deepEqual(await within('the service to end', hook.death, { say: () => hook.tail() }), { code: 0, signal: null });
        await hook.start(life);
        await state.more(40);
        unanswered += state.unanswered - before;
        process.kill(hook.pid, 'SIGKILL');
        await hook.death;
        await hook.start(life);
      }
      await state.more(40);
    } finally {
      await state.stop();
    }
    assert.deepEqual(state.wrong, []);
    assert.equal(state.refused, 0, 'refused');
    assert.equal(unanswered, 0, 'without an answer because of a stop');
    const figures = await compare(hook, state, program, 4 * rounds);
    t.diagnostic(`${state.acknowledged.size} acknowledged; ${state.unanswered} without an answer, by SIGKILL alone; the slowest ${Math.round(state.slowest)} ms`);
    score(t, 53, { cases: state.acknowledged.size, ...figures, unexpected: state.refused + unanswered, seconds: state.slowest / 1000 });
  });
});
