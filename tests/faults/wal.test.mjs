// The write-ahead log torn, damaged and taken away. Torn is what a power cut leaves: the start goes on with what was synced, and raises no
// alarm. Damaged is what a bad disk leaves: SQLite would drop every commit behind it in silence; the start is refused and says what is lost.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { assertAnswer, github, prepare, recorder, serve, spread, until } from '../system/hook.mjs';
import { Copy, lay, take } from './copy.mjs';
import { score, share } from './matrix.mjs';
import { chance } from './preload.mjs';
import { commitsUpTo, readWal } from './wal.mjs';

const SECTOR = 512;
const LANES = 2;
const config = { sources: { github }, handlers: { note: { on: ['github/*'], log: {} } } };

// A store as a kill leaves it: its files, its events in order, and of each where the WAL ended when its answer came.
// `over`: the WAL has begun anew, and the frames of the time before lie behind it.
async function killed(t, { events, over = false }) {
  const hook = await serve(t, config);
  const ids = [];
  const stood = []; // the WAL, when the event's answer came
  const send = async (id, pad) => {
    assertAnswer(await hook.send('github', { id, body: { pad: 'x'.repeat(pad) } }), 'accepted');
    ids.push(id);
    stood.push(readWal(fs.readFileSync(`${hook.database}-wal`)));
  };
  for (let n = 0; over && stood.at(-1)?.salts === stood[0]?.salts; n++) await send(`old${n}`, n < 17 ? 250_000 : 10);
  for (let n = 0; n < events; n++) await send(`e${n}`, (n * 977) % 9000);
  await hook.idle();
  await hook.kill();
  const files = take(hook.database);
  const wal = readWal(files.wal);
  assert.ok(wal.commits.length >= events, `${wal.commits.length} commits`);
  assert.equal(over, wal.end < files.wal.length, 'something older lies behind it');
  // what lies in the database itself belongs to every prefix: end 0
  const ends = stood.map(({ salts, end }) => (salts === wal.salts ? end : 0));
  return { hook, files, wal, ids, ends };
}

// The files of `store` with another WAL.
const withWal = ({ files }, wal) => ({ database: files.database, wal });
const zeroed = (bytes, from, to) => {
  const copy = Buffer.from(bytes);
  copy.fill(0, from, to);
  return copy;
};

describe('the write-ahead log', { timeout: 300_000, concurrency: 2 }, () => {
  it('row 5: torn or cut anywhere, it gives back what was synced before, and raises no alarm', async (t) => {
    const figures = { cases: 0, lost: 0, doubled: 0, corrupt: 0, unexpected: 0, seconds: 0 };
    const dice = chance(5);
    const stores = [await killed(t, { events: share(24, 8) }), await killed(t, { events: share(24, 8), over: true })];
    const cases = [];
    for (const store of stores) {
      const { wal, files } = store;
      const last = wal.commits.at(-1);
      const cuts = new Set([0, 1, 24, 31, 32]);
      for (const { at } of wal.frames) for (const off of [-SECTOR, -1, 0, 1, 24, SECTOR, 2 * SECTOR]) cuts.add(at + off);
      cuts.add(last.end - 1).add(last.end);
      for (const cut of cuts) {
        if (cut < 0 || cut > files.wal.length) continue;
        cases.push({ store, cut, how: 'cut', make: () => files.wal.subarray(0, cut) });
        // the size was synced, the bytes were not; the header is synced before the first frame
        if (cut >= 32) cases.push({ store, cut, how: 'zeros from', make: () => zeroed(files.wal, cut, wal.end) });
      }
      const scatter = () => {
        const torn = Buffer.from(files.wal); // any sectors of the last batch, which nobody had synced
        for (let at = last.begin; at < last.end; at += SECTOR) if (dice.oneIn(2)) torn.fill(0, at, Math.min(at + SECTOR, last.end));
        return torn;
      };
      for (let n = 0; n < share(100, 8); n++) cases.push({ store, cut: last.begin, how: 'sectors of the last commit are gone from', make: scatter });
    }
    // thousands: any of them, but for the first, which cut the header
    const spared = 8;
    while (cases.length > share(500, 50)) cases.splice(spared + dice.below(cases.length - spared), 1);
    const copies = Array.from({ length: LANES }, () => new Copy(t));
    await spread(cases, LANES, async ({ store, cut, how, make }, _, lane) => {
      const copy = copies[lane];
      copy.lay(withWal(store, make()));
      const { code, words, ms } = await copy.recover();
      figures.cases++;
      figures.seconds = Math.max(figures.seconds, ms / 1000);
      const what = `${how} ${cut} of ${store.wal.end}`;
      if (code !== 0) {
        figures.unexpected++;
        t.diagnostic(`${what}: a false alarm, ${code}: ${words}`);
        return;
      }
      const { ids, sound, told } = await copy.look();
      if (!sound) figures.corrupt++, t.diagnostic(`${what}: ${told}`);
      const kept = store.ends.filter((end) => end <= cut).length;
      if (ids.length < kept) figures.lost += kept - ids.length, t.diagnostic(`${what}: ${ids.length} events of ${kept}`);
      if (ids.some((id, n) => id !== store.ids[n])) figures.unexpected++, t.diagnostic(`${what}: no prefix: ${ids}`);
    });
    score(t, 5, figures);
    assert.deepEqual([figures.lost, figures.corrupt, figures.unexpected], [0, 0, 0]);
  });

  it('row 5: the service goes on over a torn tail, and says how much it dropped', async (t) => {
    const { hook, files, wal, ids } = await killed(t, { events: 6 });
    const last = wal.commits.at(-1);
    let unexpected = 0;
    const byte = files.wal.subarray(0, last.end).findLastIndex((value) => value !== 0); // behind it zeros change nothing
    const tails = share([last.begin + 24, last.begin + SECTOR, byte - SECTOR, byte], [byte - SECTOR]);
    for (const cut of tails) {
      lay(hook.database, withWal({ files }, zeroed(files.wal, cut, last.end)));
      const since = hook.log.length;
      await hook.start();
      assertAnswer(await hook.send('github', { id: ids[0] }), 'duplicate');
      assertAnswer(await hook.send('github', { id: ids.at(-1) }), 'duplicate'); // its record came with the last commit but one
      const told = hook.log.slice(since).some((entry) => entry.event.startsWith('store.') && /\b(torn|unfinished|tail)\b/.test(entry.msg));
      if (!told) unexpected++;
      await hook.kill();
    }
    score(t, 5, { cases: tails.length, unexpected });
    assert.equal(unexpected, 0, `of ${tails.length} starts over a torn tail said nothing of it`);
  });

  it('row 6: damage before the tail is found, the start refused, the file kept', async (t) => {
    const figures = { cases: 0, lost: 0, doubled: 0, corrupt: 0, unexpected: 0 };
    const dice = chance(6);
    const stores = [await killed(t, { events: 14 }), await killed(t, { events: 14, over: true })];
    const copies = Array.from({ length: LANES }, () => new Copy(t));
    const missed = [];
    const wrong = [];
    await spread(Array.from({ length: share(300, 22) }), LANES, async (_, n, lane) => {
      const store = stores[n % stores.length];
      const { wal } = store;
      // behind it at least two whole commits: one could be a batch that was never synced
      const end = wal.commits.at(-2).begin;
      const bytes = Buffer.from(store.files.wal);
      const at = n < 8 ? n * 4 + dice.below(4) : dice.below(end); // the header is part of it
      const size = dice.oneIn(3) ? [SECTOR, 4096][dice.below(2)] : 0;
      const from = size ? at - (at % size) : at;
      if (size) bytes.fill(0, from, Math.min(from + size, end));
      else bytes[at] ^= 1 << dice.below(8);
      if (bytes.equals(store.files.wal)) return; // those were zeros
      const copy = copies[lane];
      copy.lay(withWal(store, bytes));
      const { code, words } = await copy.recover();
      figures.cases++;
      const what = `${size ? `${size} zeros` : 'a flip'} at ${from}`;
      if (code !== 1) return void missed.push(`${what}: ${code}`);
      const [, suspect] = /(\d+) later ones are suspect/.exec(words) ?? [];
      const first = from < 32 ? 0 : commitsUpTo(wal, from);
      // A commit whose own mark or salts were hit cannot be counted; without the header nobody knows what is old.
      const off = Number(suspect) - (wal.commits.length - first);
      if (!(off >= -2 && (off <= 1 || from < 32))) wrong.push(`${what}: ${suspect} of ${wal.commits.length - first}: ${words}`);
      const after = copy.take();
      if (!after.wal.equals(bytes) || !after.database.equals(store.files.database)) wrong.push(`${what}: the files were changed`);
    });
    for (const line of [...missed, ...wrong].slice(0, 10)) t.diagnostic(line);
    t.diagnostic(`${figures.cases - missed.length} of ${figures.cases} found`);
    figures.lost = missed.length;
    figures.unexpected = wrong.length;
    score(t, 6, figures);
    assert.deepEqual([missed, wrong], [[], []]);
  });

  it('row 6: serve is refused with a report of what and when, and goes on with what is good when told to', async (t) => {
    const { hook, files, wal, ids } = await killed(t, { events: 10 });
    const flipped = Buffer.from(files.wal);
    const hurt = wal.commits[Math.floor(wal.commits.length / 2)];
    flipped[hurt.begin + 24 + 100] ^= 4;
    lay(hook.database, withWal({ files }, flipped));
    let unexpected = 0;
    for (let n = 0; n < 2; n++) { // a second start is refused as well
      const { code, words } = await hook.startFails();
      assert.equal(code, 1);
      assert.match(words, /damaged before its tail/);
      assert.match(words, /--salvage-wal/);
      assert.ok(take(hook.database).wal.equals(flipped), 'the damaged file is kept');
      const { msg } = words.split('\n').map((line) => JSON.parse(line)).find((entry) => /damaged before/.test(entry.msg));
      if ((msg.match(/\d{4}-\d\d-\d\dT\d\d:\d\d/g) ?? []).length < 2) unexpected++;
    }
    const salvaged = Date.now();
    await hook.start({ wrap: ['sh', '-c', 'exec "$@" --salvage-wal', 'sh'] });
    const seconds = (Date.now() - salvaged) / 1000;
    const kept = fs.readdirSync(hook.dir).filter((name) => name.includes('-wal.damaged-'));
    assert.equal(kept.length, 1);
    assert.ok(fs.readFileSync(hook.path(kept[0])).equals(flipped), 'and kept aside');
    const stored = (await hook.sql('select event_id from events order by seq')).map((row) => row.event_id);
    assert.deepEqual(stored, ids.slice(0, stored.length), 'a prefix');
    assert.ok(stored.length > 0 && stored.length < ids.length, `${stored.length} of ${ids.length}`);
    for (const id of ids) assertAnswer(await hook.send('github', { id }), stored.includes(id) ? 'duplicate' : 'accepted');
    await hook.idle();
    assert.equal(await hook.count('events'), ids.length, 'what was lost came again');
    score(t, 6, { cases: 3, unexpected, seconds });
    assert.equal(unexpected, 0, 'the report does not say between which times the suspect commits lie');
  });

  it('row 6: no command uses a damaged log in silence', async (t) => {
    const { files, wal } = await killed(t, { events: 8 });
    const copy = new Copy(t);
    const flipped = Buffer.from(files.wal);
    flipped[wal.commits.at(-6).begin + 24 + 100] ^= 1;
    copy.lay(withWal({ files }, flipped));
    const silent = [];
    const target = `${copy.store}.backup`;
    for (const command of [['backup', target], ['events', 'list'], ['stats'], ['events', 'discard', '--all', '--yes'], ['migrate']]) {
      const { code, words } = await copy.command(...command);
      if (code === 0 && !/damaged|suspect/.test(words)) silent.push(command[0]);
      assert.ok(copy.take().wal.equals(flipped), `${command[0]} changed the damaged file`);
    }
    score(t, 6, { cases: 5, unexpected: silent.length });
    assert.deepEqual(silent, []);
  });

  it('row 18: a log that is removed or replaced under the service ends it, and nothing is acknowledged after that', async (t) => {
    const figures = { cases: 0, lost: 0, unexpected: 0, seconds: 0 };
    for (const [name, hurt] of [
      ['removed', (wal) => fs.rmSync(wal)],
      ['renamed', (wal) => fs.renameSync(wal, `${wal}.away`)],
      ['replaced by a copy', (wal) => {
        fs.copyFileSync(wal, `${wal}.copy`);
        fs.renameSync(`${wal}.copy`, wal);
      }],
    ]) {
      const program = recorder({ on: ['github/*'] });
      const hook = await serve(t, { sources: { github }, handlers: { program } });
      for (let n = 0; n < 3; n++) assertAnswer(await hook.send('github', { id: `a${n}` }), 'accepted');
      await hook.idle();
      const sound = take(hook.database);
      hurt(`${hook.database}-wal`);
      const hurtAt = Date.now();
      const late = await Promise.all(Array.from({ length: 8 }, (_, n) => hook.send('github', { id: `b${n}` }).catch(() => null)));
      figures.cases++;
      for (const answer of late) {
        if (answer?.status === 200) figures.lost++;
        else if (answer) assertAnswer(answer, 'store_unavailable', name);
      }
      assert.deepEqual(await hook.dies(), { code: 1, signal: null }, name);
      assert.match((await hook.logged('store.broken')).error, /-wal was removed, renamed or replaced/);
      figures.seconds = Math.max(figures.seconds, (Date.now() - hurtAt) / 1000);
      // The operator has a copy of both files; what was in the WAL alone is nowhere else.
      lay(hook.database, sound);
      await hook.start();
      for (let n = 0; n < 3; n++) assertAnswer(await hook.send('github', { id: `a${n}` }), 'duplicate', name);
      for (const answer of late) if (answer?.status === 200) t.diagnostic(`${name}: acknowledged`);
    }
    score(t, 18, figures);
    assert.equal(figures.lost, 0, 'acknowledged into a file without a name');
  });

  it('row 18: -shm may go at any time: while the service runs, and before a start', async (t) => {
    const hook = await serve(t, config);
    let cases = 0;
    const all = [];
    const send = async (prefix) => {
      await spread(Array.from({ length: 40 }, (_, n) => `${prefix}${n}`), 4, async (id) => {
        assertAnswer(await hook.send('github', { id }), 'accepted');
        all.push(id);
      });
    };
    await send('before');
    fs.rmSync(`${hook.database}-shm`);
    cases++;
    await send('after');
    await until('all to be worked off', async () => (await hook.json('stats')).done === all.length);
    await hook.kill();
    for (const hurt of [
      (shm) => fs.rmSync(shm, { force: true }),
      (shm) => fs.writeFileSync(shm, ''),
      (shm) => fs.writeFileSync(shm, Buffer.alloc(32768, 0xa5)),
      (shm) => fs.writeFileSync(shm, Buffer.alloc(100, 1)),
    ]) {
      hurt(`${hook.database}-shm`);
      cases++;
      await hook.start();
      for (const id of all) assertAnswer(await hook.send('github', { id }), 'duplicate');
      await hook.kill();
    }
    score(t, 18, { cases });
  });

  it('row 18: a log that went before the start is missed, and what it held is told', async (t) => {
    const { hook, ids } = await killed(t, { events: 6 });
    fs.rmSync(`${hook.database}-wal`);
    fs.rmSync(`${hook.database}-shm`);
    const since = hook.log.length;
    const refused = await hook.start().then(() => null, (error) => error.words ?? assert.fail(error));
    const words = refused ?? hook.log.slice(since).map((entry) => `${entry.msg} ${entry.error ?? ''}`).join('\n');
    const told = /redeliver/.test(words);
    const lost = told || refused ? 0 : ids.length;
    score(t, 18, { cases: 1, lost });
    assert.ok(told, `${ids.length} acknowledged events are gone and the start says nothing:\n${words}`);
  });
});
