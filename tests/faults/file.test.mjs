// The database file is taken away, replaced or set back: under a running service, and between two lives. SQLite goes on happily in a file
// without a name, and lays a write-ahead log over any database that it finds beside it; the service must notice, or say what is missing.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { assertAnswer, github, serve, spread, until } from '../system/hook.mjs';
import { lay, take } from './copy.mjs';
import { score, share } from './matrix.mjs';

const config = { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } };
const ids = (prefix, count) => Array.from({ length: count }, (_, n) => `${prefix}${n}`);

async function accept(hook, names) {
  for (const id of names) assertAnswer(await hook.send('github', { id }), 'accepted', id);
}

// The lock file says how far the store has come: within a second, whether more arrives or not.
async function marked(hook) {
  const [{ seq }] = await hook.sql('select max(seq) as seq from events');
  let said = '';
  await until(`the mark to be at ${seq}`, () => new RegExp(`^stored ${seq} at `, 'm').test((said = fs.readFileSync(`${hook.database}.lock`, 'utf8'))), {
    deadline: 3000, say: () => said,
  });
}

// Sends until it has gone: how many were acknowledged. The last answer that a life may give belongs to what came before.
async function acknowledged(hook, prefix) {
  let count = 0;
  for (let n = 0; hook.alive && n < 200; n++) {
    const answer = await hook.send('github', { id: `${prefix}${n}` }).catch(() => null);
    if (answer?.status === 200) count++;
    else if (answer) assertAnswer(answer, 'store_unavailable');
  }
  return count;
}

const sound = (file) => execFileSync('sqlite3', ['-readonly', file, 'pragma integrity_check'], { encoding: 'utf8' }).trim();
const stored = async (hook) => new Set((await hook.sql('select event_id from events')).map((row) => row.event_id));

describe('the database file', { timeout: 300_000, concurrency: 3 }, () => {
  it('row 17: removed, renamed or replaced under the service: nothing is acknowledged after it, exit 1, and what was is told or there', async (t) => {
    const figures = { cases: 0, lost: 0, corrupt: 0, unexpected: 0, seconds: 0 };
    await spread([
      { name: 'removed', hurt: ({ database }) => fs.rmSync(database), missing: true },
      { name: 'renamed', hurt: ({ database }) => fs.renameSync(database, `${database}.away`), mend: ({ database }) => fs.renameSync(`${database}.away`, database) },
      {
        name: 'replaced by its own copy',
        hurt({ database }) {
          fs.copyFileSync(database, `${database}.copy`);
          fs.renameSync(`${database}.copy`, database);
        },
      },
      {
        name: 'replaced by an older one',
        hurt: (hook) => fs.renameSync(hook.path('backup.db'), hook.database),
        mend: ({ database }) => ['-wal', '-shm'].forEach((ending) => fs.rmSync(database + ending, { force: true })), // as the manual says
        missing: true,
      },
    ], 2, async ({ name, hurt, mend = () => {}, missing = false }) => {
      const hook = await serve(t, config);
      await accept(hook, ids('a', 3));
      await hook.ok('backup', hook.path('backup.db'));
      await accept(hook, ids('b', 3));
      await hook.idle();
      await marked(hook);
      hook.mortal = true;
      hurt(hook);
      const begun = performance.now();
      const late = await acknowledged(hook, 'late');
      figures.cases++;
      figures.lost += late;
      assert.deepEqual(await hook.dies(), { code: 1, signal: null }, name);
      figures.seconds = Math.max(figures.seconds, (performance.now() - begun) / 1000);
      assert.match((await hook.logged('store.broken')).error, /removed, renamed or replaced/, name);
      mend(hook);
      const since = hook.log.length;
      await hook.start();
      const told = hook.log.slice(since).find(({ event }) => event === 'store.older');
      const there = await stored(hook);
      const gone = [...ids('a', 3), ...ids('b', 3)].filter((id) => !there.has(id));
      t.diagnostic(`${name}: ${late} acknowledged after it, ${gone.length} gone, told: ${told?.missing}`);
      if (gone.length > 0 && !told) figures.lost += gone.length;
      if (missing !== gone.length > 0 || (told && told.missing !== gone.length)) figures.unexpected++;
      if (sound(hook.database) !== 'ok') figures.corrupt++;
    });
    score(t, 17, figures);
    assert.deepEqual([figures.lost, figures.corrupt, figures.unexpected], [0, 0, 0]);
  });

  it('row 17: overwritten in place under the service: noticed before anything is acknowledged', async (t) => {
    const figures = { cases: 0, lost: 0, corrupt: 0, unexpected: 0 };
    for (const [name, hurt] of [
      ['by a backup', (hook) => fs.copyFileSync(hook.path('backup.db'), hook.database)],
      ['by an older copy of itself', (hook) => fs.copyFileSync(hook.path('stopped.db'), hook.database)],
      ['cut to nothing', (hook) => fs.truncateSync(hook.database, 0)],
      ['cut in the middle', (hook) => fs.truncateSync(hook.database, 4096 * 5)],
    ]) {
      const hook = await serve(t, config);
      await accept(hook, ids('a', 3));
      await hook.ok('backup', hook.path('backup.db'));
      await hook.stop();
      fs.copyFileSync(hook.database, hook.path('stopped.db'));
      await hook.start();
      for (const id of ids('b', 30)) assertAnswer(await hook.send('github', { id, body: { pad: 'x'.repeat(50_000) } }), 'accepted', id);
      await hook.idle();
      await hook.restart(); // all of it is in the database now, and little in the log
      hook.mortal = true;
      hurt(hook);
      const late = await acknowledged(hook, 'late');
      figures.cases++;
      const noticed = late === 0;
      t.diagnostic(`${name}: ${late} acknowledged after it`);
      if (noticed) assert.ok([1, 'SIGBUS'].includes(((death) => death.code ?? death.signal)(await hook.dies())), name);
      else await hook.kill();
      const since = hook.log.length;
      const refused = await hook.start().then(() => null, (error) => error.words ?? assert.fail(error));
      const told = refused ?? hook.log.slice(since).find(({ event }) => event === 'store.older');
      if (hook.alive) await hook.kill();
      const silent = !told && !noticed;
      if (silent) figures.lost += 30;
      if (!refused && sound(hook.database) !== 'ok') figures.corrupt++;
      if (!noticed) figures.unexpected++;
      if (refused) for (const ending of ['', '-wal', '-shm', '.suspect']) fs.rmSync(hook.database + ending, { force: true });
    }
    score(t, 17, figures);
    assert.deepEqual([figures.lost, figures.corrupt, figures.unexpected], [0, 0, 0]);
  });

  it('row 17: an older backup that is put back says what is missing and for which time, and what comes again is stored', async (t) => {
    const figures = { cases: 0, lost: 0, doubled: 0, unexpected: 0 };
    for (const ending of share(['stop', 'kill'], ['kill'])) {
      const hook = await serve(t, config);
      await accept(hook, ids('a', 5));
      await hook.idle();
      await marked(hook); // so that the next is due, and what follows it right away is not
      await hook.ok('backup', hook.path('backup.db'));
      const [{ at: from }] = await hook.sql('select max(received_at) as at from events');
      await accept(hook, ids('b', 7));
      await hook.idle();
      const [{ at: until, seq }] = await hook.sql('select max(received_at) as at, max(seq) as seq from events');
      await marked(hook);
      await hook[ending]();
      lay(hook.database, { database: fs.readFileSync(hook.path('backup.db')) }, { keepLock: true });
      const since = hook.log.length;
      await hook.start();
      figures.cases++;
      const told = hook.log.slice(since).find(({ event }) => event === 'store.older');
      assert.ok(told, `nothing said after a ${ending}`);
      assert.equal(told.level, 'error');
      assert.match(told.msg, /redeliver/);
      const [after, before] = told.msg.match(/\d{4}-\d\d-\d\dT[\d:.]+Z/g) ?? [];
      // nothing that is missing lies outside of the time that is told
      if (!(after <= from && before >= until && told.missing >= 7)) figures.unexpected++, t.diagnostic(`${from} to ${until}: ${told.msg}`);
      for (const id of ids('a', 5)) assertAnswer(await hook.send('github', { id }), 'duplicate', id);
      await accept(hook, ids('b', 7));
      await hook.idle();
      const rows = await hook.sql('select seq from events order by seq');
      if (rows.length !== 12 || rows[5].seq <= seq) figures.doubled++, t.diagnostic(`numbers are used again: ${JSON.stringify(rows)}`);
      // said once: what came since is whole
      await hook.restart();
      assert.equal(hook.log.filter(({ event }) => event === 'store.older').length, 1);
    }
    score(t, 17, figures);
    assert.deepEqual([figures.doubled, figures.unexpected], [0, 0]);
  });

  it('row 17: a backup that lacks nothing raises no alarm', async (t) => {
    const hook = await serve(t, config);
    await accept(hook, ids('a', 5));
    await hook.idle();
    await hook.ok('backup', hook.path('backup.db'));
    await hook.stop();
    lay(hook.database, { database: fs.readFileSync(hook.path('backup.db')) }, { keepLock: true });
    await hook.start();
    const alarms = hook.log.filter(({ event }) => event === 'store.older').length;
    score(t, 17, { cases: 1, unexpected: alarms });
    assert.equal(alarms, 0);
  });

  it('row 17: a backup beside which the old log still lies is not mixed with it in silence', async (t) => {
    const figures = { cases: 0, lost: 0, corrupt: 0, unexpected: 0 };
    const put = {
      'made by the command': (hook) => hook.path('backup.db'),
      'a copy of the stopped store': (hook) => hook.path('stopped.db'),
    };
    for (const ending of ['stop', 'kill']) {
      for (const [kind, file] of Object.entries(put)) {
        for (const [pad, withShm] of share([[6000, true], [250_000, true], [6000, false], [250_000, false]], [[6000, true], [250_000, true]])) {
          const hook = await serve(t, config);
          await accept(hook, ids('a', 5));
          await hook.idle();
          await hook.ok('backup', hook.path('backup.db'));
          await hook.stop();
          fs.copyFileSync(hook.database, hook.path('stopped.db'));
          await hook.start();
          for (const id of ids('b', 40)) assertAnswer(await hook.send('github', { id, body: { pad: 'x'.repeat(pad) } }), 'accepted', id);
          await hook.idle();
          await hook[ending]();
          fs.copyFileSync(file(hook), hook.database);
          if (!withShm) fs.rmSync(`${hook.database}-shm`, { force: true });
          const since = hook.log.length;
          const refused = await hook.start().then(() => null, (error) => error.words ?? assert.fail(error));
          figures.cases++;
          const what = `${kind}, after a ${ending}, ${pad} bytes, ${withShm ? 'with' : 'without'} -shm`;
          if (refused) {
            t.diagnostic(`${what}: refused, ${JSON.parse(refused.split('\n').at(-1)).msg}`);
            hook.mortal = true;
            for (const end of ['', '-wal', '-shm', '.suspect']) fs.rmSync(hook.database + end, { force: true });
            continue;
          }
          const told = hook.log.slice(since).find(({ event }) => event === 'store.older');
          const there = await stored(hook).catch(() => new Set());
          const gone = [...ids('a', 5), ...ids('b', 40)].filter((id) => !there.has(id)).length;
          const state = sound(hook.database).split('\n');
          t.diagnostic(`${what}: starts, ${gone} gone, told: ${told?.missing}, ${state[0]} (${state.length})`);
          if (state[0] !== 'ok') figures.corrupt++;
          if (gone > 0 && told?.missing !== gone) figures.lost += gone;
          if (state[0] !== 'ok') {
            hook.mortal = true;
            await hook.kill();
            for (const end of ['', '-wal', '-shm', '.suspect']) fs.rmSync(hook.database + end, { force: true });
          }
        }
      }
    }
    score(t, 17, figures);
    assert.deepEqual([figures.lost, figures.corrupt, figures.unexpected], [0, 0, 0]);
  });
});
