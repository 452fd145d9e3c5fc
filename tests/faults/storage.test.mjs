// The storage fails: a sync that fails once, errors that stay, a file system that turns read-only, no space, memory that is no longer there.
// What cannot be stored is not acknowledged; what cannot be trusted ends the service; the next start knows all that was acknowledged.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { assertAnswer, github, patience, prepare, recorder, serve, spread, until, waitFor } from '../system/hook.mjs';
import { lay, take } from './copy.mjs';
import { Disk } from './disk.mjs';
import { UNDER_TRACE, disturb, from } from './disturbance.mjs';
import { score, share } from './matrix.mjs';

const config = { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } }, env: UNDER_TRACE };
const UNREADY_MS = 1000;
const ANSWER_MS = 10_000;
const LOAD_MS = 20_000; // should it not end, as it ought to

// A hook whose store lies on a disk of its own.
async function prepareOn(t, kind, size, handlers = config.handlers) {
  const hook = await prepare(t, { ...config, handlers });
  const disk = new Disk(t, kind, size); // after the hook: it goes after it
  await hook.configure({ store: `sqlite:${disk.path('hooklatch.db')}` });
  Object.defineProperty(hook, 'database', { value: disk.path('hooklatch.db') });
  return { hook, disk };
}

// Sends on some connections until the service has gone or `over()`: ids by what became of them. Whatever is refused is refused as it should be.
async function load(hook, prefix, { pad = 100, width = 4, over = () => false, acked = [] } = {}) {
  const unknown = [];
  const end = performance.now() + LOAD_MS * patience;
  await spread(Array.from({ length: width }), width, async (_, lane) => {
    for (let n = 0; hook.alive && !over() && performance.now() < end; n++) {
      const id = `${prefix}-${lane}-${n}`;
      const answer = await hook.send('github', { id, body: { pad: 'x'.repeat(pad) } }).catch(() => null);
      if (answer?.status === 200) acked.push(id);
      else unknown.push(id);
      if (answer && answer.status !== 200) {
        assertAnswer(answer, 'store_unavailable');
        await pause(5);
      }
    }
  });
  return { acked, unknown };
}

// How long it was ready after `begun`: until it says no, or is gone.
async function unready(hook, begun) {
  for (;;) {
    const ready = await hook.admin('/readyz').then(({ status }) => status === 200, () => false);
    if (!ready) return performance.now() - begun;
    await pause(10);
  }
}

// After a restart: everything acknowledged is there once, what was unknown can be sent again.
async function recovered(hook, { acked, unknown }) {
  const stored = new Set((await hook.sql('select event_id from events')).map((row) => row.event_id));
  const lost = acked.filter((id) => !stored.has(id));
  for (const id of unknown) assert.ok(['accepted', 'duplicate'].includes((await hook.send('github', { id })).result), id);
  await hook.idle();
  assert.equal(await hook.count('events', `event_id in (${unknown.map((id) => `'${id}'`).join(',') || "''"})`), new Set(unknown).size);
  return lost;
}

const ends = (hook) => [hook.database, `${hook.database}-wal`];

describe('storage', { timeout: 300_000, concurrency: 3 }, () => {
  for (const [what, fault, { pad }] of [
    ['a sync of the log', (database) => ({ calls: 'fdatasync', how: 'error=EIO:when=3', files: [`${database}-wal`] }), { pad: 100 }],
    ['a sync of the log for want of space', (database) => ({ calls: 'fdatasync', how: 'error=ENOSPC:when=2', files: [`${database}-wal`] }), { pad: 100 }],
    ['a write of the log', (database) => ({ calls: 'pwrite64', how: 'error=EIO:when=7', files: [`${database}-wal`] }), { pad: 100 }],
    ['a sync of the database', (database) => ({ calls: 'fdatasync', how: 'error=EIO:when=1', files: [database] }), { pad: 250_000 }],
    ['a write of the database', (database) => ({ calls: 'pwrite64', how: 'error=EIO:when=5', files: [database] }), { pad: 250_000 }],
  ]) {
    it(`row 8: ${what} that fails once ends the service: 503, not ready, exit 1, and nothing acknowledged is lost`, async (t) => {
      const hook = await serve(t, config);
      for (let n = 0; n < 5; n++) assertAnswer(await hook.send('github', { id: `a${n}` }), 'accepted');
      hook.mortal = true;
      const trace = await disturb(t, hook, fault(hook.database));
      const since = hook.log.length;
      const sending = load(hook, 'b', { pad });
      const broken = await hook.logged('store.broken', { since });
      const late = await unready(hook, performance.now());
      assert.match(broken.error, /EIO|ENOSPC|I\/O/);
      assert.deepEqual(await hook.dies(), { code: 1, signal: null });
      const { acked, unknown } = await sending;
      const calls = await trace.end();
      const injected = calls.findIndex((line) => line.includes('(INJECTED)'));
      assert.ok(injected >= 0, 'the fault did not come');
      const after = calls.slice(injected + 1).filter((line) => /-wal|fdatasync|pwrite/.test(line));
      const begun = performance.now();
      await hook.start();
      const seconds = (performance.now() - begun) / 1000;
      const lost = await recovered(hook, { acked: [...acked, 'a0', 'a4'], unknown: unknown.slice(0, 50) });
      t.diagnostic(`not ready ${Math.round(late)} ms after the failure; ${acked.length} acknowledged before it, ${unknown.length} not`);
      score(t, 8, { cases: 1, lost: lost.length, unexpected: (late > UNREADY_MS * patience ? 1 : 0) + after.length, seconds });
      assert.deepEqual(lost, []);
      assert.deepEqual(after, [], 'something was written after the failure');
      assert.ok(late <= UNREADY_MS * patience, `not ready only after ${late} ms`);
      assert.ok(unknown.length > 0);
    });
  }

  it('row 8: a sync of the directory that fails is no start: the name of a fresh log may not be on the disk', async (t) => {
    const hook = await prepare(t, config);
    const started = await hook.start({ wrap: from({ calls: 'fdatasync,fsync', how: 'error=EIO', files: [hook.dir] }) }).then(() => true, (error) => {
      assert.equal(error.death?.code, 1, error.message);
      return false;
    });
    if (started) await hook.kill();
    const traced = fs.readFileSync(hook.path('trace'), 'utf8');
    assert.match(traced, /INJECTED/, 'the directory was not synced at all');
    await hook.start();
    score(t, 8, { cases: 1, unexpected: started ? 1 : 0 });
    assert.equal(started, false, 'it serves though the sync of the directory failed');
  });

  it('row 8: a sync that fails at the start is no start, and the next one has everything', async (t) => {
    const hook = await serve(t, config);
    const acked = [];
    for (let n = 0; n < 5; n++) acked.push((await hook.send('github', { id: `a${n}` })).id);
    await hook.idle();
    await hook.kill();
    const killed = take(hook.database);
    let cases = 0;
    for (const files of [[`${hook.database}-wal`], [hook.database]]) {
      for (const how of ['error=EIO:when=1', 'error=EIO:when=2']) {
        lay(hook.database, killed);
        const error = await hook.start({ wrap: from({ calls: 'fdatasync,fsync', how, files }) }).then(() => null, (caught) => caught);
        if (error === null) await hook.kill(); // there was no second one
        else assert.equal(error.death?.code, 1, error.message);
        assert.ok(error || how.endsWith('2'), `it started though the sync of ${files} failed`);
        cases++;
      }
    }
    await hook.start();
    const lost = await recovered(hook, { acked, unknown: [] });
    score(t, 8, { cases, lost: lost.length });
    assert.deepEqual(lost, []);
  });

  it('row 9: errors that stay: each start ends at once with the reason, changes nothing, and costs little', async (t) => {
    const hook = await serve(t, config);
    const acked = [];
    for (let n = 0; n < 5; n++) acked.push((await hook.send('github', { id: `a${n}` })).id);
    await hook.idle();
    hook.mortal = true;
    const fault = { calls: 'pwrite64,fdatasync,fsync', how: 'error=EIO', files: ends(hook) };
    const trace = await disturb(t, hook, fault);
    const unknown = (await load(hook, 'b')).unknown;
    assert.deepEqual(await hook.dies(), { code: 1, signal: null });
    await trace.end();
    const before = take(hook.database);
    let unexpected = 0;
    const starts = share(10, 2);
    let slowest = 0;
    for (let n = 0; n < starts; n++) {
      const begun = performance.now();
      const error = await hook.start({ wrap: from(fault) }).then(() => null, (caught) => caught);
      slowest = Math.max(slowest, performance.now() - begun);
      assert.equal(error?.death?.code, 1, error?.message ?? 'it started');
      if (!/EIO|[Ii]nput\/output error|I\/O/.test(error.words)) unexpected++, t.diagnostic(error.words);
      assert.ok(take(hook.database).database.equals(before.database) && take(hook.database).wal.equals(before.wal), 'the files changed');
    }
    await hook.start();
    const lost = await recovered(hook, { acked, unknown: unknown.slice(0, 20) });
    t.diagnostic(`a start that fails takes ${Math.round(slowest)} ms under the tracer`);
    score(t, 9, { cases: starts + 1, lost: lost.length, unexpected });
    assert.deepEqual([lost, unexpected], [[], 0]);
  });

  it('row 9: a file system that turns read-only ends the service, and each start says why until it is writable again', async (t) => {
    const { hook, disk } = await prepareOn(t, 'ext4', 32);
    await hook.start();
    const acked = [];
    for (let n = 0; n < 20; n++) acked.push((await hook.send('github', { id: `a${n}` })).id);
    await hook.idle();
    hook.mortal = true;
    disk.turnReadOnly();
    const begun = performance.now();
    const sending = load(hook, 'b');
    const late = await unready(hook, begun);
    const broken = await hook.logged('store.broken');
    assert.match(broken.error, /EROFS|read-?only|I\/O/i);
    assert.deepEqual(await hook.dies(), { code: 1, signal: null });
    const { acked: more, unknown } = await sending;
    let unexpected = late > UNREADY_MS * patience ? 1 : 0;
    for (let n = 0; n < share(5, 2); n++) {
      const { code, words } = await hook.startFails();
      assert.equal(code, 1);
      if (!/[Rr]ead-?only/.test(words)) unexpected++, t.diagnostic(words);
    }
    disk.remove();
    disk.mount();
    await hook.start();
    const lost = await recovered(hook, { acked: [...acked, ...more], unknown: unknown.slice(0, 20) });
    score(t, 9, { cases: 1 + share(5, 2), lost: lost.length, unexpected });
    assert.deepEqual([lost, unexpected, more], [[], 0, []], 'lost, unexpected, acknowledged while nothing can be written');
  });

  it('row 11: no space for the log: 503, not ready, alive, and good again as soon as there is space', async (t) => {
    const { hook, disk } = await prepareOn(t, 'tmpfs', 96); // more than the rounds leave behind, on any machine
    await hook.start();
    const figures = { cases: 0, lost: 0, unexpected: 0, seconds: 0 };
    for (let round = 0; round < share(4, 1); round++) {
      const first = await load(hook, `a${round}`, { pad: 3000, over: ((end) => () => performance.now() > end)(performance.now() + 200) });
      disk.fill();
      const full = await load(hook, `b${round}`, { pad: 60_000, over: ((end) => () => performance.now() > end)(performance.now() + 500) });
      assert.ok(full.unknown.length > 0, 'it was not full');
      assert.equal((await hook.admin('/readyz')).status, 503);
      assert.match((await hook.admin('/readyz')).text, /full/);
      assert.equal((await hook.admin('/livez')).status, 200);
      disk.free();
      const begun = performance.now();
      await until('readiness to say yes', async () => (await hook.admin('/readyz')).status === 200);
      figures.seconds = Math.max(figures.seconds, (performance.now() - begun) / 1000);
      figures.lost += (await recovered(hook, { acked: [...first.acked, ...full.acked], unknown: full.unknown.slice(0, 10) })).length;
      figures.cases++;
    }
    score(t, 11, figures);
    assert.equal(figures.lost, 0);
  });

  it('row 11: on a full disk what is new is refused at once, and the results of what runs go into the space that was set aside', async (t) => {
    const program = recorder({ on: ['github/push'], then: waitFor('gate'), concurrency: 8 });
    const { hook, disk } = await prepareOn(t, 'tmpfs', 16, { program });
    await hook.start();
    const reserve = () => fs.statSync(`${hook.database}.reserve`);
    const aside = reserve().blocks;
    assert.ok(aside > 0, 'something is set aside');
    const running = Array.from({ length: share(8, 4) }, (_, n) => `run${n}`);
    for (const id of running) assertAnswer(await hook.send('github', { id, type: 'push' }), 'accepted');
    await until('all to run', async () => (await program.runs()) === running.length);
    disk.fill();
    // small ones may still find room in the log as it is; a large one does not
    const refused = [];
    for (let n = 0; n < 3; n++) {
      const begun = performance.now();
      assertAnswer(await hook.send('github', { id: `new${n}`, body: { pad: 'x'.repeat(900_000) } }), 'store_unavailable');
      refused.push(performance.now() - begun);
    }
    fs.writeFileSync(hook.path('gate'), '');
    const begun = performance.now();
    for (const id of running) await hook.settled(`github/${id}`, { state: 'done' });
    const seconds = (performance.now() - begun) / 1000;
    const ready = await hook.admin('/readyz');
    assert.equal(ready.status, 503, 'the disk is full all the same');
    assertAnswer(await hook.send('github', { id: 'small' }), 'store_unavailable', 'the space is for results alone');
    await hook.kill(); // what was written there is as durable as all else
    disk.free();
    await hook.start();
    const lost = (await hook.sql("select event_id from deliveries where handler = 'program' and state <> 'done'")).length;
    assert.equal(await program.runs(), running.length, 'none is run again');
    assert.equal(reserve().blocks, aside, 'as much is set aside again');
    t.diagnostic(`refused after ${Math.round(Math.max(...refused))} ms at the longest`);
    score(t, 11, { cases: running.length, lost, unexpected: refused.filter((ms) => ms > ANSWER_MS * patience).length, seconds });
    assert.equal(lost, 0);
  });

  it('row 11: no space for the database when the log is copied into it', async (t) => {
    const { hook, disk } = await prepareOn(t, 'tmpfs', 16);
    await hook.start();
    disk.fill(6 << 20); // the log finds room, the database beside it does not
    const acked = [];
    let refused = null;
    for (let n = 0; n < 40 && refused === null; n++) {
      const answer = await hook.send('github', { id: `a${n}`, body: { pad: 'x'.repeat(250_000) } });
      if (answer.status === 200) acked.push(answer.id);
      else refused = answer;
    }
    assertAnswer(refused ?? assert.fail('there was room'), 'store_unavailable');
    await until('readiness to say no', async () => (await hook.admin('/readyz')).status === 503);
    assert.equal(hook.alive, true);
    disk.free();
    const begun = performance.now();
    await until('readiness to say yes', async () => (await hook.admin('/readyz')).status === 200);
    const seconds = (performance.now() - begun) / 1000;
    for (let n = 0; n < 5; n++) acked.push((await hook.send('github', { id: `c${n}`, body: { pad: 'x'.repeat(250_000) } })).id);
    const lost = await recovered(hook, { acked, unknown: [refused.id] });
    score(t, 11, { cases: 1, lost: lost.length, seconds });
    assert.deepEqual(lost, []);
  });

  it('row 11: a start on a full disk listens, is not ready, answers 503, and recovers by itself, with its -shm and without', async (t) => {
    const { hook, disk } = await prepareOn(t, 'tmpfs', 16);
    await hook.start();
    const acked = [];
    const figures = { cases: 0, lost: 0, unexpected: 0, seconds: 0 };
    for (const [name, before] of [
      ['with its files', () => {}],
      ['without -shm', () => fs.rmSync(`${hook.database}-shm`)],
      ['without the lock file', () => fs.rmSync(`${hook.database}.lock`)],
    ]) {
      for (let n = 0; n < 5; n++) acked.push((await hook.send('github', { id: `${name}${n}` })).id);
      await hook.idle();
      await hook.kill();
      before();
      disk.fill();
      figures.cases++;
      const error = await hook.start().then(() => null, (caught) => caught);
      if (error) {
        figures.unexpected++;
        t.diagnostic(`${name}: ${error.words ?? error.message}`);
        disk.free();
        await hook.start();
        continue;
      }
      const answer = await hook.send('github', { id: `${name}-full`, body: { pad: 'x'.repeat(900_000) } });
      assertAnswer(answer, 'store_unavailable', name);
      assert.equal((await hook.admin('/readyz')).status, 503, name);
      disk.free();
      const begun = performance.now();
      await until('readiness to say yes', async () => (await hook.admin('/readyz')).status === 200);
      figures.seconds = Math.max(figures.seconds, (performance.now() - begun) / 1000);
      assertAnswer(await hook.send('github', { id: `${name}-full` }), 'accepted', name);
    }
    figures.lost = (await recovered(hook, { acked, unknown: [] })).length;
    score(t, 11, figures);
    assert.deepEqual([figures.lost, figures.unexpected], [0, 0]);
  });

  it('row 11: no space for a copy: the command says so, leaves nothing behind, and the service does not notice', async (t) => {
    const { hook, disk } = await prepareOn(t, 'tmpfs', 16);
    await hook.start();
    const { acked } = await load(hook, 'a', { pad: 20_000, over: () => fs.statSync(`${hook.database}-wal`).size > 2 << 20 });
    disk.fill(1 << 20);
    const { code, text } = await hook.cli('backup', disk.path('copy.db'));
    assert.equal(code, 1, text);
    assert.match(text, /free|space/);
    assert.deepEqual(fs.readdirSync(disk.at).filter((name) => name.startsWith('copy')), []);
    assertAnswer(await hook.send('github', { id: 'small' }), 'accepted');
    disk.free();
    const lost = await recovered(hook, { acked, unknown: [] });
    score(t, 11, { cases: 1, lost: lost.length });
    assert.deepEqual(lost, []);
  });

  it('row 12: a -shm that is cut under the service ends it at once, and nothing acknowledged is lost', async (t) => {
    const figures = { cases: 0, lost: 0, unexpected: 0, seconds: 0 };
    const hook = await serve(t, config);
    for (let round = 0; round < share(10, 2); round++) {
      hook.mortal = true;
      const acked = [];
      const sending = load(hook, `r${round}`, { acked });
      await until('some load', () => acked.length > 20 + 17 * round);
      fs.truncateSync(`${hook.database}-shm`, [0, 4096, 100][round % 3]);
      const death = await hook.dies();
      assert.ok(death.signal === 'SIGBUS' || death.code === 1, JSON.stringify(death));
      const { unknown } = await sending;
      const begun = performance.now();
      await hook.start();
      figures.seconds = Math.max(figures.seconds, (performance.now() - begun) / 1000);
      figures.lost += (await recovered(hook, { acked, unknown: unknown.slice(0, 20) })).length;
      figures.cases++;
      assert.ok(acked.length > 0);
    }
    score(t, 12, figures);
    assert.equal(figures.lost, 0);
  });
});
