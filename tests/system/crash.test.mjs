// Death by SIGKILL at any moment: the next start is recovery, and knows everything that was acknowledged.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { score } from '../faults/matrix.mjs';
import { assertAnswer, end, github, isAlive, prepare, recorder, serve, spread, until, waitFor } from './hook.mjs';

describe('crash', { timeout: 120_000, concurrency: 4 }, () => {
  it('row 1: everything acknowledged is there after SIGKILL under load, and is processed', async (t) => {
    const program = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    const taken = new Set();
    for (let round = 0; round < 4; round++) {
      const lanes = spread(Array.from({ length: 16 }), 16, async (_, lane) => {
        for (let n = 0; ; n++) {
          const answer = await hook.send('github', { id: `${round}-${lane}-${n}` }).catch(() => null);
          if (!answer) return;
          assertAnswer(answer, 'accepted');
          taken.add(answer.id);
        }
      });
      const goal = taken.size + 100;
      await until('some load', () => taken.size > goal);
      await hook.kill();
      await lanes;
      await hook.start();
    }
    for (const id of taken) assertAnswer(await hook.send('github', { id }), 'duplicate', id);
    const stored = (await hook.sql('select event_id from events')).map((row) => row.event_id);
    assert.deepEqual([...taken].filter((id) => !stored.includes(id)), []);
    await hook.idle({ deadline: 60_000 });
    const ran = new Set((await program.records()).map((record) => record.id));
    assert.deepEqual(stored.filter((id) => !ran.has(id)), []);
    score(t, 1);
  });

  it('row 1: a try that the kill cut off is counted, as crashed, and made again', async (t) => {
    const program = recorder({ on: ['github/*'], timeout: '5m', retry: { attempts: 5, first: '100ms', factor: 1, max: '1s', jitter: 'none' }, then: `[ "$HOOKLATCH_ATTEMPT" != 1 ] || { ${waitFor('gate')}; }; ${waitFor('open')}` });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await hook.send('github', { id: 'c1' });
    await until('the program to run', async () => (await program.runs()) === 1);
    await hook.kill();
    const [row] = await hook.deliveries('github/c1');
    assert.deepEqual([row.state, row.attempts], ['running', 1], 'counted before it began');
    const [{ pid }] = await program.records();
    end(pid); // handlers of a killed service live on
    await hook.start();
    await until('the second try', async () => (await program.runs()) === 2);
    const [again] = await hook.deliveries('github/c1');
    assert.equal(again.attempts, 2);
    assert.match(again.last_error, /crashed/);
    await writeFile(hook.path('open'), '');
    await hook.settled('github/c1', { state: 'done' });
    assert.deepEqual((await program.records()).map((record) => record.attempt), [1, 2]);
    assert.deepEqual(await readdir(hook.path('hooklatch.db.tries')), [], "the killed try's file of headers is gone");
    score(t, 1);
  });

  it('row 1: a handler that kills the service ends in the dead letters', async (t) => {
    const program = recorder({ on: ['github/poison'], retry: { attempts: 2, first: '100ms', factor: 1, max: '1s', jitter: 'none' }, then: `${waitFor('gate')}; kill -KILL $PPID; sleep 0.2` });
    const fine = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { program, fine } });
    hook.mortal = true;
    await hook.send('github', { id: 'p1', type: 'poison' });
    for (let life = 1; life <= 2; life++) {
      await writeFile(hook.path('gate'), '');
      assert.deepEqual(await hook.dies(), { code: null, signal: 'SIGKILL' });
      await rm(hook.path('gate')); // the next one waits until the service is ready
      await hook.start();
    }
    await hook.settled('github/p1', { handler: 'program', state: 'dead' });
    await hook.settled('github/p1', { handler: 'fine', state: 'done' });
    const [letter] = await hook.json('dead', 'list');
    assert.equal(letter.attempts, 2);
    assert.match(letter.last_error, /crashed/);
    assert.equal(await program.runs(), 2);
    score(t, 1, { cases: 2 });
  });

  it('row 16: a second service on the same store ends at once and names the first', async (t) => {
    const hook = await serve(t, { sources: { github } });
    const { code, text } = await hook.cli('serve');
    assert.equal(code, 1);
    assert.match(text, new RegExp(`\\b${hook.pid}\\b`));
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    await hook.kill();
    await hook.start(); // a lock of the dead holds nobody up
    assertAnswer(await hook.send('github', { id: 'a' }), 'duplicate');
    score(t, 16);
  });

  it('row 20: a file that is not ours is refused and left as it was', async (t) => {
    const hook = await prepare(t, { sources: { github } });
    for (const make of [
      () => writeFile(hook.database, 'this is no database, but somebody may want it\n'.repeat(200)),
      () => execFileSync('sqlite3', [hook.database, 'create table notes(text); insert into notes values(1); pragma application_id = 1234;']),
    ]) {
      await make();
      const before = await readFile(hook.database);
      const { code, words } = await hook.startFails();
      assert.equal(code, 1);
      assert.match(words, /hooklatch\.db/);
      assert.ok((await readFile(hook.database)).equals(before), 'it was written to');
      for (const suffix of ['', '-wal', '-shm', '.lock']) await rm(hook.database + suffix, { force: true });
    }
    score(t, 20, { cases: 2 });
  });

  it('rows 20, 51: a schema newer than the program is refused', async (t) => {
    const hook = await serve(t, { sources: { github } });
    await hook.stop();
    const columns = (await hook.sql("select name from pragma_table_info('schema_migrations')")).map((row) => row.name);
    const [last] = await hook.sql('select * from schema_migrations order by 1 desc limit 1');
    // a row of the future: numbers that count become 9999, names begin with it, the rest stays
    const future = columns.map((name, n) => (typeof last[name] === 'number' && n === 0 ? 9999 : /^\d{4}_/.test(last[name]) ? '9999_from_the_future' : last[name]));
    assert.ok(future.some((value) => /^9999/.test(value)), `no number in ${JSON.stringify(last)}`);
    const values = future.map((value) => (value === null ? 'null' : typeof value === 'number' ? value : `'${value}'`));
    execFileSync('sqlite3', [hook.database, `insert into schema_migrations values (${values.join(', ')})`]);
    const { code, words } = await hook.startFails();
    assert.equal(code, 1);
    assert.match(words, /newer|9999/);
    execFileSync('sqlite3', [hook.database, `delete from schema_migrations where ${columns[0]} like '9999%'`]);
    await hook.start();
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    score(t, 20);
    score(t, 51);
  });

  it('row 18: a lost lock file, socket or -shm does not matter', async (t) => {
    const hook = await serve(t, { sources: { github } });
    assertAnswer(await hook.send('github', { id: 'a' }), 'accepted');
    await hook.kill();
    for (const name of ['hooklatch.db.lock', 'hooklatch.db-shm', 'hooklatch.sock']) await rm(hook.path(name), { force: true });
    await hook.start();
    assertAnswer(await hook.send('github', { id: 'a' }), 'duplicate');
    assert.equal(await isAlive(hook.pid), true);
    score(t, 18, { cases: 3 });
  });
});
