// Commands that meet each other, the service and their own end: killed in the middle of a replay, at every write that they make themselves,
// while the service dies, and while the purge takes away what they replay.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, recorder, serve, spread, until, within } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';

const on = ['github/*'];
const plenty = { rate: '10000/s', burst: 10_000 };
const names = (count) => Array.from({ length: count }, (_, n) => `e${n}`);
const replay = ['dead', 'replay', '--all', '--yes'];
const quiet = { format: 'json', level: 'info' };
// Refuses everything until the file `good` is there.
const moody = () => recorder({ on, concurrency: 8, then: '[ -e "$dir/good" ] || exit 65' });

async function withDead(t, ids, program) {
  const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: plenty, log: quiet });
  await spread(ids, 16, async (id) => assertAnswer(await hook.send('github', { id, body: {} }), 'accepted'));
  await hook.idle({ deadline: 60_000 });
  await writeFile(hook.path('good'), '');
  return hook;
}

async function over(hook) {
  const list = await until('the replays to be done', async () => {
    const rows = JSON.parse((await hook.cli('replays', 'list', '--json')).stdout); // of none, it ends with 3
    return rows.every((row) => row.state === 'done') && rows;
  }, { every: 50, deadline: 60_000 });
  for (const row of list) assert.equal(row.replayed + row.created + row.skipped + row.refused, row.total, JSON.stringify(row));
  return list.reduce((sum, row) => sum + row.replayed, 0);
}

// A command as a process of its own, which may be killed.
function begin(hook, words, { wrap = [], env = {} } = {}) {
  const line = [...wrap, hook.binary, ...words, '-c', hook.file];
  const child = spawn(line[0], line.slice(1), { cwd: hook.dir, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...hook.env, ...env } });
  child.text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (child.text += bytes));
  child.over = once(child, 'close');
  return child;
}

const doubled = async (hook) => (await hook.sql('select event_id from deliveries where round > 1')).length;

describe('command', { timeout: 180_000, concurrency: 2 }, () => {
  it('row 56: a replay whose command is killed goes on, and another one beside it takes nothing twice', async (t) => {
    const ids = names(share(400, 60));
    const program = moody();
    const hook = await withDead(t, ids, program);
    const commands = share(8, 3);
    for (let n = 0; n < commands; n++) {
      const child = begin(hook, [...replay, '--rate', '40/s', '--wait']);
      const wanted = n + 1;
      await until('its replay to have begun', async () => (await hook.count('replay')) === wanted && (await hook.sql('select max(replayed) as n from replay'))[0].n > 0, { say: () => child.text });
      child.kill('SIGKILL');
      await within('it to be dead', child.over);
    }
    assert.equal(await over(hook), ids.length);
    await hook.idle();
    assert.equal(await hook.count('deliveries', "state = 'done' and round = 1 and attempts = 1"), ids.length);
    assert.equal(await program.runs(), 2 * ids.length);
    score(t, 56, { cases: ids.length, doubled: await doubled(hook) });
  });

  it('row 56: a replay goes on after the service was killed in the middle of it, and each is replayed once', async (t) => {
    const ids = names(share(300, 60));
    const program = moody();
    const hook = await withDead(t, ids, program);
    const kills = share(6, 2);
    let slowest = 0;
    await hook.json(...replay, '--rate', '40/s');
    for (let n = 1; n <= kills; n++) {
      const enough = Math.floor((ids.length * n) / (kills + 1));
      await until('some to be replayed', async () => (await hook.sql('select replayed from replay'))[0].replayed >= enough);
      const child = begin(hook, ['replays', 'show', '1']); // and a command in the middle of its question
      const begun = performance.now();
      await hook.kill();
      await within('the command to end', child.over);
      await hook.start();
      slowest = Math.max(slowest, performance.now() - begun);
    }
    assert.equal(await over(hook), ids.length);
    await hook.idle();
    assert.equal(await hook.count('deliveries', "state = 'done' and round = 1"), ids.length);
    // What ran when the service was killed is tried again, as crashed: as often as it may have run.
    const runs = await program.runs();
    assert.ok(runs >= 2 * ids.length && runs <= 2 * ids.length + 8 * kills, `${runs} runs`);
    score(t, 56, { cases: ids.length, doubled: await doubled(hook), seconds: slowest / 1000 });
  });

  it('row 56: a command that works on a store by itself can be killed at each of its writes', async (t) => {
    const ids = names(200); // more than one slice
    const program = moody();
    const hook = await withDead(t, ids, program);
    await hook.stop();
    let cases = 0;
    let points = 0;
    const calls = share(['pwrite64', 'fdatasync', 'ftruncate', 'unlink'], ['pwrite64', 'fdatasync']);
    for (const call of calls) {
      for (let when = 1; ; when += share(1, call === 'pwrite64' ? 4 : 1)) {
        const wrap = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${when}`];
        // leaks cannot be looked for under a tracer
        const child = begin(hook, cases % 2 ? replay : ['dead', 'discard', '--id', `e${when % 7}*`, '--yes', '--reason', 'test'], { wrap, env: { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0` } });
        const [code, signal] = await within('the command', child.over);
        const killed = signal === 'SIGKILL' || code === 137;
        assert.ok(killed || code === 0 || code === 3, `${code ?? signal} at ${call} ${when}\n${child.text}`);
        const counts = Object.fromEntries((await hook.sql('select state, count(*) as n from deliveries group by state')).map(({ state, n }) => [state, n]));
        assert.equal((counts.dead ?? 0) + (counts.pending ?? 0) + (counts.discarded ?? 0), ids.length, JSON.stringify(counts));
        assert.equal(await hook.count('dead_letters'), counts.dead ?? 0);
        const stats = await hook.stats();
        assert.deepEqual([stats.received, stats.dead, stats.pending, stats.discarded, stats.ledger_imbalance], [ids.length, counts.dead ?? 0, counts.pending ?? 0, counts.discarded ?? 0, 0]);
        cases += 1;
        if (!killed) break; // it has no more calls than that
        points += 1;
      }
    }
    assert.ok(points >= 6, `${points} points`);
    await hook.start();
    await over(hook);
    await hook.idle();
    score(t, 56, { cases: points, doubled: await doubled(hook) });
  });

  it('row 56: what the purge takes while a replay walks is not replayed, and what is replayed is not taken', async (t) => {
    const ids = names(share(400, 80));
    const program = recorder({ on, concurrency: 8 });
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: plenty, log: quiet, retention: '45d' });
    await spread(ids, 16, async (id) => assertAnswer(await hook.send('github', { id, body: {} }), 'accepted'));
    await hook.idle({ deadline: 60_000 });
    await hook.json('events', 'replay', '--all', '--yes', '--rate', `${ids.length / 4}/s`);
    await until('some to be replayed', async () => (await hook.sql('select replayed from replay'))[0].replayed >= 8);
    await hook.reload({ retention: '1s' });
    const replayed = await over(hook);
    await hook.idle();
    assert.ok(replayed >= 8, `${replayed} replayed`);
    assert.equal(await program.runs(), ids.length + replayed, 'each that was replayed ran, once more');
    await until('all to be gone', async () => (await hook.count('events')) === 0);
    assert.equal(await hook.count('deliveries'), 0);
    assert.equal((await hook.stats()).received, 0);
    score(t, 56, { cases: ids.length });
  });

  it('row 56: letters that are replayed and discarded at once end in one of both', async (t) => {
    const ids = names(share(400, 80));
    const program = moody();
    const hook = await withDead(t, ids, program);
    const results = await Promise.all([
      hook.cli(...replay, '--wait'), hook.cli('dead', 'discard', '--handler', 'program', '--yes', '--reason', 'test'), hook.cli('dead', 'replay', '--id', 'e*', '--yes'), hook.cli('dead', 'restore', '--handler', 'program', '--yes'),
    ]);
    for (const { code, text } of results) assert.ok([0, 3, 5].includes(code), `${code} ${text}`);
    await over(hook);
    await hook.idle();
    const counts = Object.fromEntries((await hook.sql('select state, count(*) as n from deliveries group by state')).map(({ state, n }) => [state, n]));
    assert.equal((counts.done ?? 0) + (counts.discarded ?? 0) + (counts.dead ?? 0), ids.length, JSON.stringify(counts));
    assert.equal(await program.runs(), ids.length + (counts.done ?? 0));
    score(t, 56, { cases: ids.length, doubled: await doubled(hook) });
  });
});
