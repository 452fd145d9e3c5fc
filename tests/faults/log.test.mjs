// A log that cannot be written never stops the receiving: its disk is full, nobody reads it, its reader is gone, its file or folder is gone.
// What was dropped is counted, what is written is whole lines, and it goes on when it can.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { assertAnswer, github, prepare, serve, spread, until } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';

const run = promisify(execFile);
// The largest file the service may write, from now on: beyond it write(2) takes a part, then says EFBIG, as a full disk says ENOSPC.
const allow = (hook, size) => run('prlimit', ['--pid', String(hook.pid), `--fsize=${size}:unlimited`]);
const handlers = { note: { on: ['github/*'], log: {} } };
const file = { format: 'json', level: 'debug', file: 'hooklatch.log' };
const dropped = async (hook) => (await hook.stats()).log_lines_dropped;
const exists = (path) => stat(path).then(() => true, () => false);

// Whole lines of JSON; the others.
async function read(path) {
  const lines = (await readFile(path, 'utf8')).split('\n');
  const torn = [];
  const entries = [];
  if (lines.pop() !== '') torn.push('the last line has no end');
  for (const line of lines) {
    try {
      entries.push(JSON.parse(line));
    } catch {
      torn.push(line.slice(0, 160));
    }
  }
  return { entries, torn };
}

async function send(hook, ids) {
  const begun = performance.now();
  await spread(ids, 4, async (id) => assertAnswer(await hook.send('github', { id, body: {} }), 'accepted', id));
  return (ids.length * 1000) / (performance.now() - begun);
}
const names = (prefix, count) => Array.from({ length: count }, (_, n) => `${prefix}${n}`);

describe('log', { timeout: 180_000, concurrency: 3 }, () => {
  it('row 54: a full disk for the log: receiving goes on, drops are counted, whole lines follow when there is room', async (t) => {
    const hook = await prepare(t, { log: file, sources: { github }, handlers });
    const path = hook.path('hooklatch.log');
    // It goes on with a file that is larger than all others, so that it alone meets the limit.
    await writeFile(path, `${JSON.stringify({ event: 'padding', pad: ' '.repeat(24_000_000) })}\n`);
    await hook.start();
    const rounds = share(20, 3);
    const count = share(200, 60);
    const before = await send(hook, names('before', count));
    let after = Infinity;
    const torn = [];
    for (let round = 0; round < rounds; round++) {
      const counted = await dropped(hook);
      await allow(hook, (await stat(path)).size + 100 + 37 * round); // in the middle of a line
      after = Math.min(after, await send(hook, names(`full${round}-`, count)));
      await until('drops to be counted', async () => (await dropped(hook)) > counted);
      assert.equal((await hook.admin('/readyz')).status, 200, 'a log is not what readiness is about');
      await allow(hook, 'unlimited');
      let number = 0;
      await until('the log to go on', async () => {
        const id = `again${round}-${number++}`;
        await hook.send('github', { id });
        return (await readFile(path, 'latin1')).includes(id);
      });
    }
    await hook.stop();
    torn.push(...(await read(path)).torn);
    assert.equal(await hook.count('events', "event_id like 'full%'"), rounds * count);
    t.diagnostic(`accepted a second: ${Math.round(before)} with a log, at least ${Math.round(after)} without`);
    assert.deepEqual(torn, [], 'lines that are no JSON');
    score(t, 54, { cases: rounds });
  });

  it('row 54: a reader that stands still: receiving goes on, drops are counted, and a stop does not wait for it', async (t) => {
    const hook = await serve(t, { log: { format: 'json', level: 'debug' }, sources: { github }, handlers });
    const count = share(3000, 800);
    const before = await send(hook, names('before', 100));
    hook.holdLog();
    const type = 't'.repeat(1000);
    const begun = performance.now();
    await spread(names('held', count), 4, async (id) => assertAnswer(await hook.send('github', { id: `${id}-${'i'.repeat(400)}`, type, body: {} }), 'accepted'));
    const after = (count * 1000) / (performance.now() - begun);
    const lost = await dropped(hook);
    assert.ok(lost > 0, 'nothing was dropped: the pipe holds more than was written');
    const metrics = (await hook.admin('/metrics')).text;
    assert.match(metrics, /^hooklatch_log_(lines_)?drop\w* [1-9]/m);
    hook.holdLog(false);
    let number = 0;
    await until('the log to go on', async () => {
      await hook.send('github', { id: `after${number++}` });
      return hook.log.some((entry) => /^after/.test(entry.event_id));
    });
    const written = hook.log.filter((entry) => entry.event === 'event.accepted' && /^held/.test(entry.event_id)).length;
    assert.ok(written < count && written + (await dropped(hook)) >= count, `${written} written and ${await dropped(hook)} dropped of ${count}`);
    hook.holdLog();
    await spread(names('end', count), 4, (id) => hook.send('github', { id: `${id}-${'i'.repeat(400)}`, type, body: {} }));
    await hook.idle();
    await hook.stop({ deadline: 10_000 });
    assert.equal(await hook.count('events', "event_id like 'held%' or event_id like 'end%'"), 2 * count);
    t.diagnostic(`accepted a second: ${Math.round(before)} with a reader, ${Math.round(after)} without`);
    score(t, 54, { cases: 2 * count });
  });

  it('row 54: a reader that is gone: receiving goes on, drops are counted, the end is a good one', async (t) => {
    // Its stderr is read until service.ready and five lines more, as by a journal that is stopped.
    const wrap = ['bash', '-c', `exec "$@" 2> >(exec sed -u '/service.ready/{n;n;n;n;n;q}' >&2)`, 'bash'];
    const hook = await serve(t, { log: { format: 'json', level: 'debug' }, sources: { github }, handlers, wrap });
    const count = share(2000, 200);
    await send(hook, names('e', count));
    await until('drops to be counted', async () => (await dropped(hook)) > 0);
    await send(hook, names('f', count));
    await hook.idle();
    assert.equal(await hook.count('events'), 2 * count);
    await hook.stop();
    score(t, 54, { cases: 2 * count });
  });

  it('row 54: a file or a folder that is gone: receiving goes on, and SIGHUP makes a new file as soon as there is a place for it', async (t) => {
    const hook = await serve(t, { log: { ...file, file: 'hooklatch.log' }, sources: { github }, handlers });
    await mkdir(hook.path('logs'));
    await hook.stop();
    await hook.configure({ log: { ...file, file: 'logs/hooklatch.log' } });
    await hook.start();
    const path = hook.path('logs/hooklatch.log');
    await send(hook, names('a', 20));
    await rm(path);
    await send(hook, names('b', 20));
    assert.equal(await exists(path), false, 'it writes into the file that has no name any more');
    process.kill(hook.pid, 'SIGHUP');
    await until('a new file', () => exists(path));
    await send(hook, names('c', 20));
    await until('it to be written', async () => (await readFile(path, 'utf8')).includes('"c19"'));
    await rename(hook.path('logs'), hook.path('elsewhere'));
    process.kill(hook.pid, 'SIGHUP');
    await until('it to say so, where it still can', async () => (await readFile(hook.path('elsewhere/hooklatch.log'), 'utf8')).includes('log.reopen_failed'));
    await send(hook, names('d', 20));
    await mkdir(hook.path('logs'));
    process.kill(hook.pid, 'SIGHUP');
    await until('a new file', () => exists(path));
    await send(hook, names('e', 20));
    await until('it to be written', async () => (await readFile(path, 'utf8')).includes('"e19"'));
    for (const one of [path, hook.path('elsewhere/hooklatch.log')]) assert.deepEqual((await read(one)).torn, []);
    assert.ok((await readFile(hook.path('elsewhere/hooklatch.log'), 'utf8')).includes('"d19"'), 'what was said meanwhile is in the old one');
    score(t, 54, { cases: 4 });
  });
});
