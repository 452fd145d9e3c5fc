// A disk that is full: what cannot be stored is not acknowledged, nothing that was is lost, and it ends by itself.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { score } from '../faults/matrix.mjs';
import { assertAnswer, github, isAlive, recorder, serve, until, waitFor } from './hook.mjs';

const run = promisify(execFile);
// The largest file the service may write, from now on: beyond it write(2) says EFBIG, as a full disk says ENOSPC.
const allow = (hook, size) => run('prlimit', ['--pid', String(hook.pid), `--fsize=${size}:unlimited`]);

describe('disk', { timeout: 120_000, concurrency: 2 }, () => {
  it('row 11: when it is full the answer is 503 with Retry-After, readiness says no, and it recovers by itself', async (t) => {
    const program = recorder({ on: ['github/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    for (let n = 0; n < 5; n++) assertAnswer(await hook.send('github', { id: `a${n}` }), 'accepted');
    await hook.idle();
    await allow(hook, 4096);
    const pad = 'x'.repeat(20_000);
    for (let n = 0; n < 10; n++) assertAnswer(await hook.send('github', { id: `b${n}`, body: { pad } }), 'store_unavailable');
    await until('readiness to say no', async () => (await hook.admin('/readyz')).status === 503);
    assert.equal((await hook.admin('/livez')).status, 200);
    assert.equal(hook.alive, true);
    await allow(hook, 'unlimited');
    let number = 0;
    await until('it to recover', async () => (await hook.send('github', { id: `c${number++}` })).result === 'accepted');
    await until('readiness to say yes', async () => (await hook.admin('/readyz')).status === 200);
    // 503 means unknown: the provider sends again, and then all is there once
    for (let n = 0; n < 10; n++) {
      const { result } = await hook.send('github', { id: `b${n}`, body: { pad } });
      assert.ok(['accepted', 'duplicate'].includes(result), result);
    }
    for (let n = 0; n < 5; n++) assertAnswer(await hook.send('github', { id: `a${n}` }), 'duplicate');
    await hook.idle();
    for (const prefix of ['a', 'b']) assert.equal(await hook.count('events', `event_id like '${prefix}_'`), prefix === 'a' ? 5 : 10);
    for (const { id } of await program.records()) assert.equal(await program.runs(id), 1, id);
    score(t, 11);
  });

  it('row 11: what a handler did while the disk was full is remembered afterwards', async (t) => {
    const program = recorder({ on: ['github/*'], then: waitFor('gate') });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await hook.send('github', { id: 'a' });
    await until('the program to run', async () => (await program.runs()) === 1);
    await allow(hook, 4096);
    assertAnswer(await hook.send('github', { id: 'b', body: 'x'.repeat(20_000) }), 'store_unavailable');
    await writeFile(hook.path('gate'), '');
    const [{ pid }] = await program.records();
    await until('the program to end', async () => !(await isAlive(pid)));
    assert.equal((await hook.deliveries('github/a'))[0].state, 'running', 'nothing can be written');
    await allow(hook, 'unlimited');
    await hook.settled('github/a', { state: 'done' });
    assert.equal(await program.runs('a'), 1, 'it was not run again');
    score(t, 11);
  });

  it('row 11: a change is refused while it is full, at once, and does not happen later', async (t) => {
    const grumpy = recorder({ on: ['github/*'], then: 'exit 65' });
    const hook = await serve(t, { sources: { github }, handlers: { grumpy } });
    for (let n = 0; n < 3; n++) await hook.send('github', { id: `d${n}` });
    await hook.idle();
    await allow(hook, 4096);
    assertAnswer(await hook.send('github', { id: 'b', body: { pad: 'x'.repeat(20_000) } }), 'store_unavailable');
    const refused = await hook.cli('dead', 'discard', '--all', '--yes');
    assert.equal(refused.code, 1, refused.text);
    assert.match(refused.stderr, /EFBIG|ENOSPC/);
    assert.equal((await hook.stats()).dead, 3, 'reading goes on');
    await allow(hook, 'unlimited');
    await until('readiness to say yes', async () => (await hook.admin('/readyz')).status === 200);
    assert.equal((await hook.stats()).dead, 3);
    await hook.ok('dead', 'discard', '--all', '--yes');
    score(t, 11);
  });

  it('row 11: a stop says which results it could not write, and they are tried again', async (t) => {
    const program = recorder({ on: ['github/*'], then: waitFor('gate') });
    const hook = await serve(t, { sources: { github }, handlers: { program } });
    await hook.send('github', { id: 'a' });
    await until('the program to run', async () => (await program.runs()) === 1);
    await allow(hook, 4096);
    assertAnswer(await hook.send('github', { id: 'b', body: 'x'.repeat(20_000) }), 'store_unavailable');
    await writeFile(hook.path('gate'), '');
    const [{ pid }] = await program.records();
    await until('the program to end', async () => !(await isAlive(pid)));
    await hook.stop({ code: 1 });
    assert.match(hook.log.at(-1).msg, /results of 1 tries/);
    await hook.start();
    await hook.settled('github/a', { state: 'done' });
    assert.equal(await program.runs('a'), 2);
    score(t, 11);
  });
});
