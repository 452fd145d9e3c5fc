// Others at the store: a writer that holds the lock, a reader that does not go, one that writes and checkpoints beside us, a second service.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { BINARY, assertAnswer, github, patience, prepare, recorder, serve, spread, until, waitFor, within } from '../system/hook.mjs';
import { Foreign } from './foreign.mjs';
import { score, share } from './matrix.mjs';
import { readWal } from './wal.mjs';

const ANSWER_MS = 10_000; // after the last byte there is an answer, or the connection is closed
const config = { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } };

// Sends on some connections until `over()`; every answer with the time it took.
async function load(hook, prefix, over, { width = 4, pad = 100, rest = 20 } = {}) {
  const answers = [];
  await spread(Array.from({ length: width }), width, async (_, lane) => {
    for (let n = 0; !over(); n++) {
      const begun = performance.now();
      const answer = await hook.send('github', { id: `${prefix}-${lane}-${n}`, body: { pad: 'x'.repeat(pad) } });
      answers.push({ id: answer.id, result: answer.result, answer, ms: performance.now() - begun });
      if (answer.status !== 200) await pause(rest); // as a provider would, but sooner
    }
  });
  return answers;
}

const worst = (answers) => Math.max(...answers.map(({ ms }) => ms));

describe('others at the store', { timeout: 300_000, concurrency: 5 }, () => {
  it('row 13: while another process holds the lock there is patience for 2 s, then 503, and it recovers by itself', async (t) => {
    const hook = await serve(t, config);
    const figures = { cases: 0, lost: 0, unexpected: 0, seconds: 0 };
    const acked = [];
    for (const held of share([1000, 5000, 15_000], [1000, 3000])) {
      const foreign = new Foreign(t, hook.database, { patience: 10_000 });
      await foreign.say('begin immediate;');
      const begun = performance.now();
      let released = null;
      let over = false;
      const release = pause(held).then(() => foreign.say('commit;')).then(() => (released = performance.now()));
      const answers = await load(hook, `h${held}`, () => over || (over = released !== null && performance.now() - released > 300));
      await release;
      await foreign.end();
      figures.cases += answers.length;
      const good = answers.filter(({ answer }) => answer.status === 200);
      const refused = answers.filter(({ answer }) => answer.status !== 200);
      for (const { answer } of refused) assertAnswer(answer, 'store_unavailable', `held for ${held} ms`);
      acked.push(...good.map(({ id }) => id));
      // the lock alone keeps an answer: nobody is turned away for a hold that is shorter than the budget
      if (held < 2000) assert.equal(refused.length, 0, `${refused.length} refused though it was held for ${held} ms only`);
      else assert.ok(refused.length > 0, 'a lock that stays is an answer');
      const slowest = worst(answers);
      if (slowest > ANSWER_MS * patience) figures.unexpected++;
      t.diagnostic(`held ${held} ms: ${good.length} accepted, ${refused.length} refused, slowest ${Math.round(slowest)} ms`);
      await until('it to be ready again', async () => (await hook.admin('/readyz')).status === 200);
      figures.seconds = Math.max(figures.seconds, (performance.now() - begun - held) / 1000);
    }
    assert.equal(hook.alive, true, 'a busy lock is no storage error');
    const stored = new Set((await hook.sql('select event_id from events')).map((row) => row.event_id));
    figures.lost = acked.filter((id) => !stored.has(id)).length;
    score(t, 13, figures);
    assert.deepEqual([figures.lost, figures.unexpected], [0, 0]);
  });

  it('row 13: readiness says no while the lock is held, reading goes on, and the log names who holds it', async (t) => {
    const hook = await serve(t, config);
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    const foreign = new Foreign(t, hook.database);
    await foreign.say('begin immediate;');
    assertAnswer(await hook.send('github', { id: 'b' }), 'store_unavailable');
    const ready = await hook.admin('/readyz');
    assert.equal(ready.status, 503);
    assert.match(ready.text, /store busy/);
    assert.equal((await hook.admin('/livez')).status, 200);
    assert.equal((await hook.json('events', 'list')).length, 1);
    const busy = await hook.logged('store.busy');
    const named = busy.line.includes(String(foreign.pid));
    await foreign.end(); // a holder that dies lets go
    await until('it to be ready again', async () => (await hook.admin('/readyz')).status === 200);
    assertAnswer(await hook.send('github', { id: 'b' }), 'accepted');
    score(t, 13, { cases: 1, unexpected: named ? 0 : 1 });
    assert.ok(named, `the holder, pid ${foreign.pid}, is not named: ${busy.line}`);
  });

  it('row 13: a start waits no longer than its budget for the lock, and says why', async (t) => {
    const hook = await serve(t, config);
    await hook.stop();
    const foreign = new Foreign(t, hook.database);
    await foreign.say('begin immediate;');
    const { code, words } = await hook.startFails();
    assert.equal(code, 1);
    assert.match(words, /locked|busy/);
    await foreign.say('rollback;');
    await hook.start();
    score(t, 13, { cases: 1 });
  });

  it('row 14: a reader that does not go is warned of, costs disk and nothing else, and the log shrinks to its size when it has gone', async (t) => {
    const hook = await serve(t, config);
    const wal = () => fs.statSync(`${hook.database}-wal`).size;
    const gauge = async () => Number(/^hooklatch_wal_bytes (\S+)$/m.exec((await hook.admin('/metrics')).text)[1]);
    const send = (prefix, count) => spread(Array.from({ length: count }, (_, n) => `${prefix}${n}`), 4, async (id) => {
      assertAnswer(await hook.send('github', { id, body: { pad: 'x'.repeat(200_000) } }), 'accepted');
    });
    await send('before', 25); // more than one checkpoint
    const usual = wal();
    const foreign = new Foreign(t, hook.database, { readonly: true });
    await foreign.say('begin; select count(*) from events;');
    const since = hook.log.length;
    const pinned = share(200, 60);
    await send('pinned', pinned);
    assert.ok(wal() > 2 * usual, `${wal()} bytes, ${usual} before`);
    await until('it to be seen', async () => (await gauge()) === wal()); // results are still written
    assert.equal((await hook.admin('/readyz')).status, 200);
    const speaks = (entry) => entry.level === 'warn' && /reader|checkpoint|write-ahead/.test(`${entry.event} ${entry.msg}`);
    const warned = await hook.logged(speaks, { since, deadline: 3000 }).then(() => true, () => false);
    assert.equal(await foreign.say('select count(*) from events;'), '25', 'its snapshot stood still');
    await foreign.say('commit;');
    await send('after', 25);
    const top = wal();
    await send('more', share(60, 30));
    assert.ok(wal() <= top, 'it begins anew instead of growing');
    t.diagnostic(`WAL ${usual} bytes, ${top} with the reader, for ${pinned} events of 200 kB`);
    score(t, 14, { cases: 1, unexpected: warned ? 0 : 1 });
    assert.ok(warned, 'no warning though no checkpoint comes to its end');
  });

  it('row 14: our own readers do not pin the log: a command that stands still holds nothing up', async (t) => {
    const hook = await serve(t, config);
    const send = (prefix, count) => spread(Array.from({ length: count }, (_, n) => `${prefix}${n}`), 4, async (id) => {
      assertAnswer(await hook.send('github', { id, body: { pad: 'x'.repeat(200_000) } }), 'accepted');
    });
    await send('before', 30);
    const top = fs.statSync(`${hook.database}-wal`).size;
    // its output is not read: the pipe fills and it stops in the middle of the list
    const child = spawn(BINARY, ['events', 'export', '-c', hook.file], { stdio: ['ignore', 'pipe', 'ignore'] });
    const over = new Promise((resolve) => child.once('close', resolve));
    t.after(() => child.kill('SIGKILL'));
    await within('it to begin', new Promise((resolve) => child.stdout.once('readable', resolve)));
    await send('during', share(160, 50));
    const grown = fs.statSync(`${hook.database}-wal`).size;
    child.kill('SIGKILL');
    child.stdout.destroy();
    await over;
    score(t, 14, { cases: 1, unexpected: grown > 2 * top ? 1 : 0 });
    assert.ok(grown <= 2 * top, `the log grew from ${top} to ${grown} bytes`);
  });

  it('row 15: a foreign process that writes and checkpoints in a loop corrupts nothing', async (t) => {
    const program = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    const foreign = new Foreign(t, hook.database, { patience: 5000 });
    await foreign.say('create table if not exists theirs (n);');
    const end = performance.now() + share(10_000, 1500);
    let rounds = 0;
    const over = () => performance.now() > end && rounds > 3;
    const theirs = (async () => {
      for (; !over(); rounds++) await foreign.say('insert into theirs values (randomblob(3000)); pragma wal_checkpoint(restart); delete from theirs where rowid < (select max(rowid) from theirs) - 50;');
    })();
    const answers = await load(hook, 'w', over, { pad: 3000 });
    await theirs;
    const seen = await foreign.say("select '<' || integrity_check || '>' from pragma_integrity_check;");
    const speaks = (entry) => ['warn', 'error'].includes(entry.level) && /another process|foreign/.test(entry.msg);
    const warned = await hook.logged(speaks, { deadline: 3000 }).then(() => true, () => false);
    await foreign.say('drop table theirs;');
    await foreign.end();
    const good = answers.filter(({ answer }) => answer.status === 200);
    for (const { answer } of answers) if (answer.status !== 200) assertAnswer(answer, 'store_unavailable');
    await until('it to be ready', async () => (await hook.admin('/readyz')).status === 200);
    const stored = new Set((await hook.sql('select event_id from events')).map((row) => row.event_id));
    const lost = good.filter(({ id }) => !stored.has(id)).length;
    t.diagnostic(`${rounds} foreign checkpoints beside ${good.length} events`);
    score(t, 15, { cases: rounds, lost, corrupt: seen === '<ok>' ? 0 : 1, unexpected: warned ? 0 : 1 });
    assert.equal(lost, 0);
    assert.equal(seen, '<ok>');
    assert.ok(rounds > 3 && good.length > 3, `${rounds} rounds, ${good.length} events`);
    assert.ok(warned, 'nothing in the log says that another process writes here');
    await hook.idle();
  });

  it('row 15: our own commands never write beside the service', async (t) => {
    const hook = await serve(t, config);
    for (let n = 0; n < 5; n++) assertAnswer(await hook.send('github', { id: `a${n}` }), 'accepted');
    const commands = [['events', 'list'], ['stats'], ['dead', 'list'], ['events', 'export'], ['backup', hook.path('copy.db')], ['events', 'discard', '--all', '--yes'], ['explain', 'github/a1'], ['pause', 'note'], ['resume', 'note']];
    const wrote = [];
    for (const command of commands) {
      const trace = hook.path('trace');
      // only its own calls: -P is a file that it must not touch but by reading
      const child = spawn('strace', ['-f', '-o', trace, '-e', 'trace=write,pwrite64,ftruncate,fsync,fdatasync,unlink', '-P', hook.database, '-P', `${hook.database}-wal`, BINARY, ...command, '-c', hook.file], {
        stdio: 'ignore', env: { ...process.env, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0` },
      });
      await within(command.join(' '), new Promise((resolve) => child.once('close', resolve)), { deadline: 30_000 });
      for (const line of fs.readFileSync(trace, 'utf8').split('\n')) if (/^\d+ +\w+\(/.test(line)) wrote.push(`${command.join(' ')}: ${line}`);
    }
    score(t, 15, { cases: commands.length, unexpected: wrote.length });
    assert.deepEqual(wrote, []);
  });

  it('row 16: of services that start at the same moment exactly one serves, and the others name it', async (t) => {
    const hook = await prepare(t, config);
    await hook.start();
    await hook.stop();
    let unexpected = 0;
    const rounds = share(20, 2);
    for (let round = 0; round < rounds; round++) {
      const starts = Array.from({ length: 4 }, () => {
        const child = spawn(BINARY, ['serve', '-c', hook.file], { stdio: ['ignore', 'ignore', 'pipe'] });
        const one = { child, words: '', code: null };
        child.stderr.setEncoding('utf8').on('data', (text) => (one.words += text));
        one.over = new Promise((resolve) => child.once('close', (code) => resolve((one.code = code ?? 'killed'))));
        t.after(() => child.kill('SIGKILL'));
        return one;
      });
      await until('all to have decided', () => starts.every((one) => one.code !== null || one.words.includes('service.ready')));
      const winners = starts.filter((one) => one.code === null);
      const losers = starts.filter((one) => one.code !== null);
      if (winners.length !== 1) unexpected++;
      for (const loser of losers) {
        if (loser.code !== 1) unexpected++;
        if (!new RegExp(`\\b${winners[0]?.child.pid}\\b`).test(loser.words)) unexpected++, t.diagnostic(`not named: ${loser.words}`);
      }
      for (const one of winners) one.child.kill('SIGTERM');
      await Promise.all(starts.map((one) => one.over));
      if (winners[0]?.code !== 0) unexpected++;
    }
    await hook.start();
    score(t, 16, { cases: rounds * 4, unexpected });
    assert.equal(unexpected, 0);
  });

  it('row 16: a command that holds the store is waited for, and a service keeps commands out of the file', async (t) => {
    const hook = await serve(t, config);
    for (let n = 0; n < 20; n++) assertAnswer(await hook.send('github', { id: `a${n}` }), 'accepted');
    const { code, text } = await hook.cli('migrate');
    assert.equal(code, 1, text);
    assert.match(text, new RegExp(`\\b${hook.pid}\\b`));
    await hook.stop();
    // the lock as a command has it, for a moment
    const holder = spawn('flock', ['-F', '-x', `${hook.database}.lock`, 'sh', '-c', 'echo held; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
    t.after(() => holder.kill('SIGKILL'));
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    fs.writeFileSync(`${hook.database}.lock`, `command ${holder.pid}\n`);
    const started = hook.start();
    started.catch(() => {});
    const early = await Promise.race([started.then(() => 'started', () => 'failed'), pause(300).then(() => 'waits')]);
    assert.equal(early, 'waits');
    holder.kill('SIGKILL');
    await started;
    score(t, 16, { cases: 2 });
  });

  it('row 16: a service whose lock file was taken away ends, and no other one begins beside it', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { slow: recorder({ on: ['github/*'], then: waitFor('go on') }) } });
    await hook.send('github', { id: 'a' });
    await until('the handler to run', async () => (await hook.config.handlers.slow.runs('a')) === 1);
    fs.rmSync(`${hook.database}.lock`);
    const second = await hook.cli('serve');
    assert.equal(second.code, 1, second.text);
    assert.match(second.text, new RegExp(`another hooklatch serve, pid ${hook.pid}, that does not hold its lock file`));
    assert.deepEqual(await hook.dies(), { code: 1, signal: null });
    fs.writeFileSync(hook.path('go on'), '');
    await hook.start();
    await hook.settled('github/a', { state: 'done' });
    score(t, 16, { cases: 1 });
  });

  it('row 16: one store by another name is the same store, or none', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: recorder({ on: ['github/*'] }) } });
    fs.symlinkSync(hook.database, hook.path('link.db'));
    await hook.configure({ store: 'sqlite:link.db', admin: [{ unix: 'other.sock' }] });
    assert.match((await hook.cli('serve')).text, new RegExp(`pid ${hook.pid}`));
    await hook.stop();
    await hook.start(); // by the link
    assert.equal((await hook.send('github', { id: 'a' })).result, 'accepted');
    await hook.settled('github/a', { state: 'done' });
    await hook.stop();
    fs.linkSync(hook.database, hook.path('hard.db'));
    await hook.configure({ store: 'sqlite:hard.db' });
    assert.match((await hook.startFails()).words, /has 2 names/);
    fs.rmSync(hook.path('hard.db'));
    await hook.configure({ store: 'sqlite:hooklatch.db', admin: [{ unix: 'hooklatch.sock' }] });
    await hook.start();
    score(t, 16, { cases: 3 });
  });
});
