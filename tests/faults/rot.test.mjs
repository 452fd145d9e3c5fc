// Bits of the database that turn by themselves. A body that has changed goes to no handler: its delivery is dead, reason corrupt. A page that
// has changed stops the service, is told, or held nothing that matters; nothing wrong is handed on as if it were right.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { assertAnswer, github, patience, serve, spread, until } from '../system/hook.mjs';
import { lay, take } from './copy.mjs';
import { score, share } from './matrix.mjs';
import { chance } from './preload.mjs';
import { sink } from './sink.mjs';

// Deliveries that wait for their first try, and the files they are in: received while the handlers were paused, then stopped. Beside a
// few whole pages of its own each body is full of its id, so that it can be found.
async function stored(t, handlers, count) {
  const hook = await serve(t, { sources: { github }, handlers, log: { format: 'json', level: 'info' } });
  for (const name of Object.keys(handlers)) await hook.ok('pause', name);
  const sent = new Map();
  await spread(Array.from({ length: count }, (_, n) => n), 4, async (n) => {
    const id = `event${n}`;
    const answer = await hook.send('github', { id, type: 'push', body: { fill: `<${n}>`.repeat(40 + ((n * 397) % 2000)) } });
    assertAnswer(answer, 'accepted');
    sent.set(`github/${id}`, { n, body: answer.sent.body });
  });
  await hook.stop();
  execFileSync('sqlite3', [hook.database, 'update handler set paused_at = null, paused_until = null; pragma wal_checkpoint(truncate)']);
  return { hook, sent, files: { database: take(hook.database).database, wal: null } };
}

// Where in the file a piece of this body lies: any of them.
function placeOf(database, n, dice) {
  const places = [];
  for (let at = database.indexOf(`<${n}>`); at >= 0; at = database.indexOf(`<${n}>`, at + 1)) places.push(at);
  return places[dice.below(places.length)] + dice.below(`<${n}>`.length);
}

const nameOf = (key) => key.split('/').slice(0, 2).join('/');

describe('rot', { timeout: 300_000 }, () => {
  it('row 7: a flipped bit of a body makes its deliveries dead as corrupt, and no handler ever sees it', async (t) => {
    const place = await sink(t);
    const { hook, sent, files } = await stored(t, {
      sent: { on: ['github/*'], http: { url: place.url } },
      taken: { on: ['github/*'], pull: { visibility: '1m' } },
      kept: { on: ['github/*'], setup: 'CREATE TABLE IF NOT EXISTS seen (id TEXT, body)', sql: 'INSERT INTO seen VALUES (:event_id, :body)' },
    }, share(400, 120));
    const dice = chance(7);
    const database = Buffer.from(files.database);
    const hurt = new Set();
    for (const [id, { n }] of sent) {
      if (n % 4 === 0) continue; // these must not be taken for corrupt
      database[placeOf(database, n, dice)] ^= 1 << dice.below(8);
      hurt.add(id);
    }
    lay(hook.database, { database, wal: null });
    await hook.start();
    const whole = [...sent.keys()].filter((id) => !hurt.has(id));
    const taken = new Map();
    await until('all to be taken', async () => {
      const { code, stdout } = await hook.cli('take', 'taken', '--max', '100', '--jsonl');
      assert.ok([0, 3].includes(code), stdout);
      for (const line of stdout.split('\n').filter(Boolean)) {
        const { source, event_id: id, body, lease } = JSON.parse(line);
        taken.set(`${source}/${id}`, Buffer.from(body, 'base64'));
        assert.equal((await hook.admin(`/v1/leases/${lease}/ack`, { method: 'POST' })).status, 200);
      }
      const { pending, running } = await hook.json('stats');
      return pending + running === 0;
    });
    const dead = await hook.json('dead', 'list', '--limit', '10000');
    const letters = new Set(dead.map((letter) => `${letter.source}/${letter.event_id}/${letter.handler}`));
    const wrong = [];
    for (const letter of dead) if (letter.reason !== 'corrupt') wrong.push(`${letter.event_id} died of ${letter.reason}`);
    for (const id of hurt) for (const handler of ['sent', 'taken', 'kept']) if (!letters.has(`${id}/${handler}`)) wrong.push(`${id}: ${handler} is not dead`);
    const seen = await hook.sql('select id, hex(body) as body from seen');
    const delivered = [
      ...[...place.got].flatMap(([key, bodies]) => bodies.map((body) => [nameOf(key), body])),
      ...taken,
      ...seen.map(({ id, body }) => [`github/${id}`, Buffer.from(body, 'hex')]),
    ];
    const altered = delivered.filter(([id, body]) => hurt.has(id) || !sent.get(id).body.equals(body));
    if (delivered.length !== whole.length * 3) wrong.push(`${delivered.length} deliveries of ${whole.length} whole events`);
    // what is dead for its body stays so, however often it is asked for
    await hook.ok('dead', 'replay', '--handler', 'sent', '--all', '--yes', '--wait');
    await until('all to be dead again', async () => (await hook.json('stats')).dead === hurt.size * 3);
    const again = [...place.got.keys()].filter((key) => hurt.has(nameOf(key)));
    t.diagnostic(`${hurt.size} bodies flipped, 3 handlers: ${altered.length + again.length} delivered`);
    score(t, 7, { cases: hurt.size, corrupt: altered.length + again.length, unexpected: wrong.length });
    assert.deepEqual([altered.map(([id]) => id), again, wrong], [[], [], []]);
  });

  it('row 7: a bit flipped anywhere in the file: nothing wrong is delivered, nothing is missing in silence', async (t) => {
    const place = await sink(t);
    const count = 40;
    const { hook, sent, files } = await stored(t, { sent: { on: ['github/*'], http: { url: place.url } } }, count);
    const { database } = files;
    const dice = chance(77);
    const outcome = { refused: 0, stopped: 0, dead: 0, told: 0, harmless: 0 };
    const altered = [];
    const missing = [];
    hook.mortal = true;
    // Most pages hold bodies; the others are where it is interesting. The first, and those without a body, come up as often as all others.
    const structural = [];
    for (let page = 0; page < database.length / 4096; page++) if (!/(<\d+>){20}/.test(database.subarray(page * 4096, (page + 1) * 4096).toString('latin1'))) structural.push(page);
    const flips = Number(process.env.HOOKLATCH_FLIPS ?? share(100, 16));
    for (let n = 0; n < flips; n++) {
      let at = dice.below(database.length);
      if (n % 2 === 0) {
        const page = structural[dice.below(structural.length)];
        // the beginning of a page is its header and the places of its cells
        at = page * 4096 + dice.below(n % 4 === 0 ? 100 : 4096);
      }
      const bit = dice.below(8);
      const copy = Buffer.from(database);
      copy[at] ^= 1 << bit;
      lay(hook.database, { database: copy, wal: null });
      place.got.clear();
      const since = hook.log.length;
      const what = `page ${Math.floor(at / 4096) + 1}, byte ${at % 4096}, bit ${bit}`;
      const error = await hook.start().then(() => null, (caught) => caught);
      if (error) {
        assert.equal(error.death?.code, 1, `${what}: ${error.message}`);
        outcome.refused++;
        continue;
      }
      // until all are settled, or it is over, or nothing happens any more
      let settled = null;
      for (let still = 0, before = -1; hook.alive && still < 10 * patience; still++) {
        const stats = await hook.stats().catch(() => null);
        settled = stats;
        if (stats && stats.pending + stats.running === 0 && stats.done + stats.dead >= count) break;
        if (place.got.size !== before) still = 0;
        before = place.got.size;
        await pause(30);
      }
      const stopped = !hook.alive;
      if (stopped) assert.deepEqual((await hook.dies()), { code: 1, signal: null }, what);
      else {
        const said = await hook.stats().catch((caught) => ({ failed: caught.message }));
        settled = said;
      }
      for (const [key, bodies] of place.got) {
        const event = sent.get(nameOf(key));
        if (!event || bodies.some((body) => !body.equals(event.body))) altered.push(`${what}: ${key}`);
      }
      const log = hook.log.slice(since).filter((entry) => ['warn', 'error', 'fatal'].includes(entry.level));
      const told = log.length > 0 || Boolean(settled?.failed) || settled?.ledger_imbalance !== 0;
      const arrived = [...place.got.keys()].filter((key) => sent.has(nameOf(key))).length;
      if (stopped) outcome.stopped++;
      else if (arrived === count) outcome.harmless++;
      else if (settled?.dead > 0 && arrived + settled.dead >= count) outcome.dead++;
      else if (told) outcome.told++;
      else missing.push(`${what}: ${arrived} of ${count} delivered, ${JSON.stringify(settled)}`);
      if (hook.alive) await hook.kill();
    }
    lay(hook.database, files);
    for (const line of [...altered, ...missing].slice(0, 10)) t.diagnostic(line);
    t.diagnostic(`${flips} flips: ${JSON.stringify(outcome)}`);
    score(t, 7, { cases: flips, lost: missing.length, corrupt: altered.length });
    assert.deepEqual([altered, missing], [[], []], 'delivered though it was altered; missing though nothing was said');
  });

  it('row 7: a flipped bit in a running store stops it when the page is read, and the next start looks at the whole file', async (t) => {
    const { hook, files } = await stored(t, { note: { on: ['github/*'], log: {} } }, 20);
    hook.mortal = true;
    const dice = chance(777);
    let unexpected = 0;
    const cases = share(20, 3);
    for (let n = 0; n < cases; n++) {
      lay(hook.database, files);
      // the kind of a page of the index that finds duplicates: every new event reads it
      const [{ rootpage }] = await hook.sql("select rootpage from sqlite_schema where name = 'sqlite_autoindex_events_1'");
      const copy = Buffer.from(files.database);
      copy[(rootpage - 1) * 4096] ^= 1 << dice.below(8);
      lay(hook.database, { database: copy, wal: null });
      const since = hook.log.length;
      const started = await hook.start().then(() => true, (error) => (assert.equal(error.death?.code, 1, error.message), false));
      if (!started) continue;
      const answer = await hook.send('github', { id: `new${n}` }).catch(() => null);
      if (answer) assertAnswer(answer, 'store_unavailable');
      const broken = await hook.logged('store.broken', { since });
      assert.match(broken.error, /malformed|corrupt/i);
      assert.deepEqual(await hook.dies(), { code: 1, signal: null });
      const { code, words } = await hook.startFails();
      assert.equal(code, 1);
      if (!/corrupt|malformed/.test(words) || !/[Rr]estore a backup/.test(words)) unexpected++, t.diagnostic(words);
    }
    lay(hook.database, files);
    score(t, 7, { cases, unexpected });
    assert.equal(unexpected, 0, 'the reason, and what to do: restore a backup');
  });
});
