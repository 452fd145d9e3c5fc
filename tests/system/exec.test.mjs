// The contract of `exec`: what a program is given, and what its end means.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, isAlive, recorder, serve, until } from './hook.mjs';

const retry = (attempts, more) => ({ attempts, first: '100ms', factor: 1, max: '1s', jitter: 'none', ...more });

describe('exec', { timeout: 180_000, concurrency: 6 }, () => {
  it('a program gets the event in its environment, the body on stdin, its arguments as they are, and nothing else', async (t) => {
    const show = recorder({
      on: ['github/*'],
      environment: ['LISTED'],
      args: ['two words', '$HOME', '*', '', "it's"],
      then: `cat >"$dir/stdin"
cat /proc/$$/environ >"$dir/environ"
cat "$HOOKLATCH_HEADERS_FILE" >"$dir/headers"
printf '%s\\0' "$@" >"$dir/arguments"
pwd >"$dir/cwd"
read -r line </proc/$$/stat; echo "$line" >"$dir/stat"
ls -l /proc/$$/fd >"$dir/descriptors"`,
    });
    const hook = await serve(t, { sources: { github }, handlers: { show }, env: { LISTED: 'yes', UNLISTED: 'no', TZ: 'Europe/Berlin', LD_LIBRARY_PATH: '/nowhere' } });
    const body = Buffer.from('{"a":"\\u0000","b":1e400}\r\n');
    assertAnswer(await hook.send('github', { id: 'e1', type: 'pull_request', body, headers: { 'X-Twice': ['1', '2'] } }), 'accepted');
    await hook.settled('github/e1', { state: 'done' });
    const read = (name) => readFile(hook.path(name), 'utf8');
    const event = await hook.event('github/e1');
    const environment = Object.fromEntries((await read('environ')).split('\0').filter(Boolean).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
    assert.equal(environment.HOOKLATCH_EVENT_ID, 'e1');
    assert.equal(environment.HOOKLATCH_SOURCE, 'github');
    assert.equal(environment.HOOKLATCH_TYPE, 'pull_request');
    assert.equal(environment.HOOKLATCH_HANDLER, 'show');
    assert.equal(environment.HOOKLATCH_ATTEMPT, '1');
    assert.equal(environment.HOOKLATCH_SEQUENCE, String(event.seq));
    assert.equal(environment.HOOKLATCH_RECEIVED_AT, event.received_at);
    assert.equal(environment.HOOKLATCH_IDEMPOTENCY_KEY, 'github/e1/show');
    assert.match(environment.TRACEPARENT, /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/);
    assert.equal(environment.LISTED, 'yes');
    assert.equal(environment.TZ, 'Europe/Berlin');
    const ours = ['EVENT_ID', 'SOURCE', 'TYPE', 'HANDLER', 'ATTEMPT', 'SEQUENCE', 'RECEIVED_AT', 'IDEMPOTENCY_KEY', 'HEADERS_FILE'].map((name) => `HOOKLATCH_${name}`);
    const allowed = new Set(['PATH', 'HOME', 'USER', 'LANG', 'TZ', 'TMPDIR', 'TRACEPARENT', 'LISTED', ...ours]);
    assert.deepEqual(Object.keys(environment).filter((name) => !allowed.has(name)), [], 'more than was promised');

    assert.ok((await readFile(hook.path('stdin'))).equals(body));
    assert.deepEqual(JSON.parse(await read('headers')), event.headers);
    assert.deepEqual(event.headers.filter(([name]) => name.toLowerCase() === 'x-twice').map(([, value]) => value), ['1', '2']);
    assert.deepEqual((await read('arguments')).split('\0').slice(0, -1), ['two words', '$HOME', '*', '', "it's"]);
    assert.equal((await read('cwd')).trim(), hook.dir);
    const [pid, , , , group] = (await read('stat')).trim().split(' ');
    assert.equal(group, pid, 'it leads its own process group');
    const more = [...(await read('descriptors')).matchAll(/ (\d+) -> (.*)$/gm)].filter(([, number, target]) => Number(number) > 2 && !target.endsWith('/show.sh'));
    assert.deepEqual(more.map(([line]) => line), [], 'descriptors of the service leak into handlers');
  });

  it('what the exit code means', async (t) => {
    const ends = { ok: 'exit 0', dataerr: 'exit 65', tempfail: 'exit 75', one: 'exit 1', usage: 'exit 64', last: 'exit 255', segv: 'kill -SEGV $$', kill: 'kill -KILL $$', term: 'kill -TERM $$' };
    const handlers = Object.fromEntries(Object.entries(ends).map(([name, then]) => [name, recorder({ on: ['github/*'], retry: retry(2), then: `echo "said by ${name}" >&2; ${then}` })]));
    const hook = await serve(t, { sources: { github }, handlers });
    assertAnswer(await hook.send('github', { id: 'e1' }), 'accepted');
    const rows = await hook.settled('github/e1');
    for (const { handler, state, attempts, last_error: error } of rows) {
      const [wanted, tries] = handler === 'ok' ? ['done', 1] : handler === 'dataerr' ? ['dead', 1] : ['dead', 2];
      assert.deepEqual([state, attempts], [wanted, tries], handler);
      assert.equal(await handlers[handler].runs(), tries, handler);
      if (state === 'dead') assert.ok(error, `${handler} has no last_error`);
    }
    const text = (handler) => rows.find((row) => row.handler === handler).last_error;
    assert.match(text('dataerr'), /65/);
    assert.match(text('last'), /255/);
    for (const handler of Object.keys(ends).filter((name) => name !== 'ok')) {
      const { stdout } = await hook.cli('dead', 'show', `github/e1/${handler}`);
      assert.match(stdout, new RegExp(`said by ${handler}`), `what ${handler} said last`);
    }
  });

  it('a program is told at its timeout, and killed 5 s later when it does not listen', async (t) => {
    const polite = recorder({ on: ['github/*'], timeout: '1s', retry: retry(1), then: `trap 'stamp told; exit 1' TERM; while :; do sleep 0.05; done` });
    const deaf = recorder({ on: ['github/*'], timeout: '1s', retry: retry(1), then: `trap '' TERM; while :; do sleep 0.2; stamp alive; done` });
    const hook = await serve(t, { sources: { github }, handlers: { polite, deaf } });
    assertAnswer(await hook.send('github', { id: 'e1' }), 'accepted');
    const rows = await hook.settled('github/e1', { state: 'dead' });
    for (const { handler, last_error: error } of rows) assert.match(error, /time/i, `last_error of ${handler}`);
    const [start] = await polite.notes('start');
    const [told] = await polite.notes('told');
    assert.ok(told, 'it was not told');
    // the program notes its start a little after the service did
    assert.ok(told.time - start.time > 500, `told after ${told.time - start.time} ms`);
    const [begun] = await deaf.notes('start');
    const last = (await deaf.notes('alive')).at(-1);
    assert.ok(last.time - begun.time > 5000, `killed after ${last.time - begun.time} ms`);
    assert.equal(await isAlive(begun.pid), false);
  });

  it('the whole process group goes when a program is killed', async (t) => {
    const family = recorder({ on: ['github/*'], timeout: '1s', retry: retry(1), then: `trap '' TERM; (trap '' TERM; sleep 300) & sleep 300 & wait; while :; do sleep 1; done` });
    const hook = await serve(t, { sources: { github }, handlers: { family } });
    assertAnswer(await hook.send('github', { id: 'e1' }), 'accepted');
    await hook.settled('github/e1', { state: 'dead' });
    await until('the group to be gone', async () => (await hook.offspring()).length === 0, { say: async () => JSON.stringify(await hook.offspring()) });
  });

  it('children left behind, with the pipes still open, hold up neither the event nor the service', async (t) => {
    const parent = recorder({ on: ['github/*'], timeout: '2s', then: 'sleep 300 & exit 0' });
    const hook = await serve(t, { sources: { github }, handlers: { parent } });
    assertAnswer(await hook.send('github', { id: 'e1' }), 'accepted');
    await hook.settled('github/e1', { state: 'done' });
    await until('the children to be gone', async () => (await hook.offspring()).length === 0, { say: async () => JSON.stringify(await hook.offspring()) });
    assert.equal(await parent.runs(), 1);
  });

  it('the last 4 KiB of stderr are kept, whatever they are', async (t) => {
    const chatty = recorder({ on: ['github/*'], then: `echo FIRST-WORDS >&2; head -c 20000 /dev/zero | tr '\\0' x >&2; echo LAST-WORDS >&2; exit 65` });
    const binary = recorder({ on: ['github/*'], then: `head -c 20000 /dev/urandom >&2; printf '\\377\\376\\033[2J"\\\\ LAST-WORDS' >&2; exit 65` });
    const hook = await serve(t, { sources: { github }, handlers: { chatty, binary } });
    assertAnswer(await hook.send('github', { id: 'e1' }), 'accepted');
    await hook.settled('github/e1', { state: 'dead' });
    for (const handler of ['chatty', 'binary']) {
      const shown = JSON.stringify(await hook.json('dead', 'show', `github/e1/${handler}`));
      assert.match(shown, /LAST-WORDS/, handler);
      assert.doesNotMatch(shown, /FIRST-WORDS/, handler);
      const text = await hook.ok('dead', 'show', `github/e1/${handler}`);
      assert.ok(!text.includes('\x1b'), `${handler}: escape codes of a handler reach the terminal`);
    }
    const shown = JSON.stringify(await hook.json('dead', 'show', 'github/e1/chatty'));
    const kept = Math.max(...shown.match(/x+/g).map((run) => run.length));
    assert.ok(kept <= 4096 && kept > 4000, `${kept} bytes were kept`);
  });

  it('floods on stdout and stderr are drained', async (t) => {
    const flood = recorder({ on: ['github/*'], then: `head -c 100000000 /dev/zero; head -c 50000000 /dev/zero | tr '\\0' '\\377' >&2; exit 0` });
    const hook = await serve(t, { sources: { github }, handlers: { flood } });
    assertAnswer(await hook.send('github', { id: 'e1' }), 'accepted');
    await hook.settled('github/e1', { state: 'done', deadline: 25_000 });
  });

  it('a body of 5 MiB that is read whole, in part or not at all does no harm', async (t) => {
    const handlers = {
      whole: recorder({ on: ['github/*'], then: 'sha256sum >"$dir/sum"' }),
      part: recorder({ on: ['github/*'], then: 'head -c 10 >/dev/null; exit 0' }),
      unread: recorder({ on: ['github/*'], then: 'exit 0' }),
      closed: recorder({ on: ['github/*'], then: 'exec 0<&-; sleep 0.3; exit 0' }),
      refused: recorder({ on: ['github/*'], then: 'exit 65' }),
      stuck: recorder({ on: ['github/*'], timeout: '1s', retry: retry(1), then: 'sleep 300' }),
    };
    const hook = await serve(t, { sources: { github }, handlers });
    const body = Buffer.alloc(5 * 1024 * 1024, 'hooklatch ');
    assertAnswer(await hook.send('github', { id: 'e1', body }), 'accepted');
    const states = Object.fromEntries((await hook.settled('github/e1')).map((row) => [row.handler, row.state]));
    assert.deepEqual(states, { closed: 'done', part: 'done', refused: 'dead', stuck: 'dead', unread: 'done', whole: 'done' });
    assert.equal((await readFile(hook.path('sum'), 'utf8')).split(' ')[0], createHash('sha256').update(body).digest('hex'));
  });

  it('a program that is missing or may not be run loses nothing, and runs when it is there', async (t) => {
    const on = ['github/*'];
    const tries = retry(200, { max: '200ms' });
    const fine = recorder({ on });
    const hook = await serve(t, { sources: { github }, handlers: { missing: { on, exec: ['./missing'], retry: tries }, forbidden: { on, exec: ['./forbidden'], retry: tries }, fine } });
    await writeFile(hook.path('forbidden'), '#!/bin/sh\nexit 0\n', { mode: 0o644 });
    assertAnswer(await hook.send('github', { id: 'e1' }), 'accepted');
    await hook.settled('github/e1', { handler: 'fine', state: 'done' });
    for (const handler of ['missing', 'forbidden']) {
      const [{ state }] = await hook.deliveries('github/e1', handler);
      assert.notEqual(state, 'done', handler);
    }
    await writeFile(hook.path('missing'), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
    await chmod(hook.path('forbidden'), 0o755);
    await hook.settled('github/e1', { state: 'done' });
  });

  it('ids and types that look like shell are only text', async (t) => {
    const show = recorder({ on: ['*/*'] });
    const hook = await serve(t, { sources: { github }, handlers: { show } });
    const id = '$(touch pwned);`touch pwned`;../../x/{y}';
    assertAnswer(await hook.send('github', { id, type: '$(touch pwned)' }), 'accepted');
    await hook.settled(`github/${id}`, { state: 'done' });
    const [record] = await show.records();
    assert.deepEqual([record.id, record.type], [id, '$(touch pwned)']);
    await assert.rejects(readFile(hook.path('pwned')));
  });

  it('the log handler writes what the event is, and not what is in it', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } });
    assertAnswer(await hook.send('github', { id: 'l1', type: 'ping' }), 'accepted');
    await hook.settled('github/l1', { state: 'done' });
    const entry = await hook.logged((line) => line.handler === 'note' && line.event_id === 'l1');
    assert.equal(entry.source, 'github');
    assert.equal(entry.type, 'ping');
  });
});
