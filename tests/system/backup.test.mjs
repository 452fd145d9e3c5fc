// A copy of the store that is made under load, and the drill that brings it back.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { copyFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { score } from '../faults/matrix.mjs';
import { assertAnswer, github, recorder, serve, spread } from './hook.mjs';

const ids = (name, count) => Array.from({ length: count }, (_, n) => `${name}${n}`);

describe('backup', { timeout: 120_000, concurrency: 3 }, () => {
  it('a copy that is made under load is sound, and holds what was acknowledged before it', async (t) => {
    const fine = recorder({ on: ['github/*'] });
    const fails = recorder({ on: ['github/*'], then: 'exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { fine, fails } });
    await spread(ids('before', 60), 8, async (id) => assertAnswer(await hook.send('github', { id }), 'accepted'));
    const load = spread(ids('during', 120), 8, async (id) => assertAnswer(await hook.send('github', { id }), 'accepted'));
    const told = await hook.json('backup', hook.path('copy.db'));
    await load;
    const copied = execFileSync('sqlite3', ['-readonly', hook.path('copy.db'), "select count(*), (select count(*) from delivery), (select count(*) from events where event_id like 'before%') from events; pragma integrity_check; pragma application_id; pragma journal_mode"], { encoding: 'utf8' });
    const [counts, sound, application] = copied.trim().split('\n');
    assert.deepEqual(counts.split('|').map(Number), [told.events, told.deliveries, 60]);
    assert.deepEqual([sound, Number(application)], ['ok', 0x686c6368]);
    assert.equal((await stat(hook.path('copy.db'))).mode & 0o777, 0o600);
    assert.equal((await stat(hook.path('copy.db'))).size, told.bytes);
    assert.deepEqual((await readdir(hook.dir)).filter((name) => name.startsWith('copy.db')), ['copy.db']);
    await hook.idle();
  });

  it('row 17: the drill: what was lost after the copy comes again, what is in it is a duplicate, and work goes on', async (t) => {
    const program = recorder({ on: ['github/*'], then: '[ "$HOOKLATCH_TYPE" = push ] || exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    for (const id of ids('kept', 10)) assertAnswer(await hook.send('github', { id, type: 'push' }), 'accepted');
    assertAnswer(await hook.send('github', { id: 'dead', type: 'issues' }), 'accepted');
    await hook.idle();
    await hook.ok('backup', hook.path('copy.db'));
    for (const id of ids('later', 5)) assertAnswer(await hook.send('github', { id, type: 'push' }), 'accepted');
    await hook.idle();
    await hook.stop();
    for (const ending of ['', '-wal', '-shm']) await rm(hook.database + ending, { force: true });
    await copyFile(hook.path('copy.db'), hook.database);
    await hook.start();
    assert.equal(await hook.count('events'), 11);
    assertAnswer(await hook.send('github', { id: 'kept3', type: 'push' }), 'duplicate');
    for (const id of ids('later', 5)) assertAnswer(await hook.send('github', { id, type: 'push' }), 'accepted');
    assert.equal((await hook.json('dead', 'list')).length, 1);
    await hook.idle();
    assert.equal(await hook.count('events'), 16);
    await hook.stop();
    await hook.ok('backup', hook.path('stopped.db'));
    score(t, 17);
  });

  it('never over something that is there, nor of what is no store', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } });
    await writeFile(hook.path('there.db'), 'mine');
    const { code, text } = await hook.cli('backup', hook.path('there.db'));
    assert.equal(code, 1);
    assert.match(text, /there\.db is there already/);
    for (const ending of ['-journal', '-wal.old', '-wal']) {
      const part = await hook.cli('backup', hook.path(`${path.basename(hook.database)}${ending}`));
      assert.deepEqual([part.code, /a part of the store|is there already/.test(part.text)], ending === '-wal.old' ? [0, false] : [1, true], part.text);
    }
    assert.equal((await hook.cli('backup', hook.path('none/copy.db'))).code, 1);
    assert.equal((await hook.cli('backup')).code, 2);
    assert.deepEqual((await readdir(hook.dir)).filter((name) => name.includes('incomplete')), []);
  });

  it('bodies that are not what they were are told, and copied as they are', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } });
    const body = Buffer.from(`{"text":"${'findable '.repeat(100)}"}`);
    for (const id of ['a', 'b']) await hook.send('github', { id, body });
    for (const id of ['a', 'b']) await hook.settled(`github/${id}`, { state: 'done' });
    await hook.stop();
    await promisify(execFile)('sqlite3', [hook.database, 'PRAGMA wal_checkpoint(TRUNCATE)']);
    const file = await readFile(hook.database);
    file[file.indexOf('findable findable')] ^= 1;
    await writeFile(hook.database, file);
    const { code, text } = await hook.cli('backup', hook.path('copy.db'));
    assert.equal(code, 6, text);
    assert.match(text, /1 bodies are not what they were, in the store as in the copy, the first github\/[ab]/);
    assert.doesNotMatch(text, /sound/);
  });
});
