// Programs that behave as badly as programs can: that hang, crash, cannot be started, leave children, flood and do not read.
// The rest of the contract of `exec` is in tests/system/exec.test.mjs.
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, end, github, isAlive, prepare, recorder, serve, spread, until } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';

const on = ['github/*'];
const retry = (attempts, more) => ({ attempts, first: '50ms', factor: 1, max: '1s', jitter: 'none', ...more });
const budget = { rate: '10000/s', burst: 10_000 };
const send = async (hook, id, more) => assertAnswer(await hook.send('github', { id, body: {}, ...more }), 'accepted', id);
const status = async (hook, name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(await readFile(`/proc/${hook.pid}/status`, 'utf8'))[1]);
const descriptors = async (hook) => (await readdir(`/proc/${hook.pid}/fd`)).length;

describe('program', { timeout: 180_000, concurrency: 4 }, () => {
  it('row 24: a slot that hung is free again, however the program hangs', async (t) => {
    // On being told, each goes on: one spins, one sleeps, one has stopped itself and cannot hear.
    const hang = { spins: "trap '' TERM; while :; do :; done", sleeps: "trap '' TERM; while :; do sleep 300; done", stopped: 'kill -STOP $$; exit 0' };
    const handlers = Object.fromEntries(Object.entries(hang).map(([name, then]) => [name, recorder({ on, concurrency: 1, timeout: '500ms', retry: retry(1), then: `[ "$HOOKLATCH_TYPE" = hang ] || exit 0\n${then}` })]));
    const fine = recorder({ on });
    const hook = await serve(t, { sources: { github }, handlers: { ...handlers, fine }, workers: 1, retry_budget: budget });
    const rounds = share(3, 1);
    let slowest = 0;
    for (let round = 0; round < rounds; round++) {
      const begun = performance.now();
      await send(hook, `hang${round}`, { type: 'hang' });
      for (let n = 0; n < 5; n++) await send(hook, `next${round}-${n}`, { type: 'next' });
      await hook.settled(`github/next${round}-4`, { handler: 'fine', state: 'done' });
      for (const name of Object.keys(hang)) await hook.settled(`github/next${round}-4`, { handler: name, state: 'done' });
      slowest = Math.max(slowest, performance.now() - begun);
      for (const name of Object.keys(hang)) {
        const [{ state, last_error: error }] = await hook.deliveries(`github/hang${round}`, name);
        assert.equal(state, 'dead', name);
        assert.match(error, /time/, name);
      }
    }
    for (const program of Object.values(handlers)) for (const { pid, id } of await program.records()) if (id.startsWith('hang')) assert.equal(await isAlive(pid), false);
    score(t, 24, { cases: 3 * rounds, seconds: slowest / 1000 });
  });

  it('row 25: every exit code and every signal means what the table says', async (t) => {
    // Without those that do not end a process, and one that the shell has no name for.
    const signals = Object.keys(constants.signals).filter((name) => !['SIGSTOP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU', 'SIGCHLD', 'SIGURG', 'SIGWINCH', 'SIGCONT', 'SIGUNUSED', 'SIGSTKFLT'].includes(name));
    const named = new Set();
    const distinct = signals.filter((name) => !named.has(constants.signals[name]) && named.add(constants.signals[name]));
    const codes = Array.from({ length: 256 }, (_, code) => code).filter((code) => share(true, code < 4 || code % 16 === 1 || [64, 66, 75, 76, 126, 127, 128, 137, 143, 255].includes(code)));
    const program = recorder({ on, concurrency: 8, retry: retry(2), then: 'echo "said by $HOOKLATCH_TYPE" >&2; case $HOOKLATCH_TYPE in SIG*) exec sh -c "kill -${HOOKLATCH_TYPE#SIG} \\$\\$; sleep 300";; *) exit "$HOOKLATCH_TYPE";; esac' }); // bash itself ignores SIGQUIT
    const hook = await serve(t, { sources: { github }, handlers: { program }, retry_budget: budget });
    const types = [...codes.map(String), ...share(distinct, distinct.slice(0, 12))];
    await spread(types, 8, (type) => send(hook, `e${type}`, { type }));
    await hook.idle({ deadline: 60_000 });
    const rows = new Map((await hook.sql('select event_id, state, attempts, last_error from deliveries')).map((row) => [row.event_id.slice(1), row]));
    const letters = new Map((await hook.json('dead', 'list', '--limit', '1000')).map((letter) => [letter.type, letter]));
    for (const type of types) {
      const { state, attempts, last_error: error } = rows.get(type);
      const [wanted, tries] = type === '0' ? ['done', 1] : type === '65' ? ['dead', 1] : ['dead', 2];
      assert.deepEqual([state, attempts], [wanted, tries], type);
      if (wanted === 'done') continue;
      assert.match(error, type.startsWith('SIG') ? new RegExp(`signal ${constants.signals[type]}\\b`) : new RegExp(`\\b${type}\\b`), type);
      assert.ok((await hook.ok('dead', 'show', String(letters.get(type).id))).includes(`said by ${type}`), `what ${type} said last`);
    }
    score(t, 25, { cases: types.length });
  });

  it('row 25: what cannot be started is tried again, loses nothing, and runs when it can be', async (t) => {
    const script = '#!/bin/sh\nexit 0\n';
    const broken = {
      missing: null, forbidden: ['#!/bin/sh\nexit 0\n', 0o644], empty: ['', 0o755], text: ['no program\n', 0o755], nobody: ['#!/nonexistent/interpreter\n', 0o755], elf: ['\x7fELF\x02\x01\x01 and no more', 0o755], folder: 'folder',
    };
    const handlers = Object.fromEntries(Object.keys(broken).map((name) => [name, { on, exec: [`./${name}`], retry: retry(500, { max: '50ms' }) }]));
    const hook = await prepare(t, { sources: { github }, handlers, retry_budget: budget });
    for (const [name, what] of Object.entries(broken)) {
      if (what === 'folder') await mkdir(hook.path(name));
      else if (what) await writeFile(hook.path(name), what[0], { mode: what[1] });
    }
    await hook.start();
    await send(hook, 'e1');
    const rows = await until('each to have failed twice', async () => {
      const found = await hook.deliveries('github/e1');
      return found.every((row) => row.last_error && row.attempts >= 2 || row.state === 'done') && found;
    }, { say: async () => JSON.stringify(await hook.deliveries('github/e1')) });
    for (const { handler, state, last_error: error } of rows) {
      assert.notEqual(state, 'done', handler);
      assert.ok(error.includes(handler), `${handler}: ${error}`);
    }
    for (const [name, what] of Object.entries(broken)) {
      if (what === 'folder') await rm(hook.path(name), { recursive: true });
      await writeFile(hook.path(name), script, { mode: 0o755 });
      await chmod(hook.path(name), 0o755);
    }
    await hook.settled('github/e1', { state: 'done' });
    score(t, 25, { cases: Object.keys(broken).length });
  });

  it('row 26: of children that keep the pipes open none holds up the service, and its descriptors come back', async (t) => {
    // The last one leaves the process group: it is somebody else's now, but has no hold on us.
    const ways = { background: 'sleep 300 & exit 0', deaf: "(trap '' TERM HUP; sleep 300; sleep 300) & exit 0", many: 'for n in 1 2 3 4 5 6 7 8 9 10; do sleep 300 & done; exit 1', away: 'setsid sh -c \'echo $$ >>"$0"; : >"$0-$HOOKLATCH_EVENT_ID"; exec sleep 300\' "$dir/away" & until [ -e "$dir/away-$HOOKLATCH_EVENT_ID" ]; do sleep 0.02; done; exit 0' };
    const handlers = Object.fromEntries(Object.entries(ways).map(([name, then]) => [name, recorder({ on, concurrency: 4, timeout: '20s', retry: retry(1), then })]));
    const hook = await serve(t, { sources: { github }, handlers, retry_budget: budget });
    const before = await descriptors(hook);
    const rounds = share(40, 4);
    const ids = Array.from({ length: rounds }, (_, n) => `e${n}`);
    for (const id of ids) await send(hook, id); // one connection, which is kept
    await hook.idle();
    assert.equal(await hook.count('deliveries', "state = 'done'"), 3 * rounds);
    assert.equal(await hook.count('deliveries', "handler = 'many' and state = 'dead' and last_error like '%exit 1%'"), rounds);
    const away = () => readFile(hook.path('away'), 'utf8').then((text) => text.split('\n').filter(Boolean).map(Number), () => []);
    try {
      await until('all others to be gone', async () => {
        const gone = await away();
        return gone.length === rounds && (await hook.offspring()).every(({ pid }) => gone.includes(pid));
      }, { say: async () => JSON.stringify(await hook.offspring()) });
      await until('its descriptors to be back', async () => (await descriptors(hook)) <= before + 4, { say: async () => `${before} before, ${await descriptors(hook)} now` });
    } finally {
      for (const pid of await away()) end(pid);
    }
    await hook.stop();
    score(t, 26, { cases: 4 * rounds });
  });

  it('row 27: a flood without an end is drained until its time is over, in little memory, and the log stays whole', async (t) => {
    const floods = { zero: 'exec cat /dev/zero >&2', random: 'exec cat /dev/urandom >&2', both: 'cat /dev/zero & exec cat /dev/urandom >&2', lines: 'exec yes "{\\"ts\\":\\"forged\\"}" >&2' };
    const handlers = Object.fromEntries(Object.entries(floods).map(([name, then]) => [name, recorder({ on: ['github/flood'], timeout: `${share(5000, 1000)}ms`, retry: retry(1), then })]));
    const fine = recorder({ on: ['github/push'] });
    const hook = await serve(t, { sources: { github }, handlers: { ...handlers, fine }, retry_budget: budget });
    await send(hook, 'warm');
    await hook.settled('github/warm', { state: 'done' });
    const before = await status(hook, 'VmHWM');
    await send(hook, 'flood', { type: 'flood' });
    await until('all to flood', async () => (await Promise.all(Object.values(handlers).map((program) => program.runs()))).every((runs) => runs === 1));
    for (let n = 0; n < 10; n++) await send(hook, `beside${n}`);
    for (let n = 0; n < 10; n++) await hook.settled(`github/beside${n}`, { state: 'done' });
    const rows = await hook.settled('github/flood', { state: 'dead' });
    for (const { handler, last_error: error } of rows) assert.match(error, /time/, handler);
    const grown = (await status(hook, 'VmHWM')) - before;
    assert.ok(grown < 32 * 1024, `${grown} KiB more were used`);
    for (const { handler } of rows) {
      const { output } = await hook.json('dead', 'show', `github/flood/${handler}`);
      assert.ok(output.length > 1000 && output.length <= 4096, `${handler}: ${output.length} characters were kept`);
    }
    assert.deepEqual(hook.noise, []);
    score(t, 27, { cases: rows.length });
  });

  it('row 27: what is kept of text is text, wherever the cut falls', async (t) => {
    const shift = ['', 'x', 'xx', 'xxx'];
    const handlers = Object.fromEntries(shift.map((letters, n) => [`shift${n}`, recorder({ on, retry: retry(1), then: `cat "$dir/words" >&2; printf '${letters}' >&2; exit 65` })]));
    const hook = await serve(t, { sources: { github }, handlers, retry_budget: budget });
    await writeFile(hook.path('words'), 'grüße 漢字🚀 '.repeat(1000));
    await send(hook, 'e1');
    await hook.settled('github/e1', { state: 'dead' });
    const mangled = [];
    for (const name of Object.keys(handlers)) {
      const { output } = await hook.json('dead', 'show', `github/e1/${name}`);
      if (!output.includes('grüße 漢字🚀')) mangled.push(`${name}: ${output.slice(0, 24)}`);
    }
    assert.deepEqual(mangled, [], 'read as ISO 8859-1 because of one cut character');
    score(t, 27, { cases: shift.length });
  });

  it('row 28: a body that nobody reads, at whatever point of it the program ends', async (t) => {
    const reads = [0, 1, 4096, 65_535, 65_536, 65_537, 1_000_000, 5 * 1024 * 1024 - 1];
    const handlers = Object.fromEntries(reads.flatMap((size) => [['kept', ''], ['closed', 'exec 0<&-;']].map(([how, close]) => [`${how}_${size}`, recorder({ on, timeout: '20s', retry: retry(1), then: `head -c ${size} >/dev/null; ${close} exit $(( ${size} % 2 ? 65 : 0 ))` })])));
    const hook = await serve(t, { sources: { github }, handlers, workers: 4, retry_budget: budget });
    const rounds = share(10, 1);
    for (let n = 0; n < rounds; n++) assertAnswer(await hook.send('github', { id: `e${n}`, body: Buffer.alloc(5 * 1024 * 1024, 'hooklatch ') }), 'accepted');
    await hook.idle({ deadline: 60_000 });
    for (const { handler, state } of await hook.sql('select distinct handler, state from deliveries')) assert.equal(state, Number(handler.split('_')[1]) % 2 ? 'dead' : 'done', handler);
    score(t, 28, { cases: rounds * reads.length * 2 });
  });
});
