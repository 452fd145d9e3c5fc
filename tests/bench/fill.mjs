// A large store in minutes. The service itself stores the first events and handles them; then, with the service stopped, SQL
// multiplies them: every table that belongs to an event gets what the service would have written, with a new seq, id and time.
// The file is in no journal's care meanwhile, which is what makes it fast, and synced before anybody opens it again.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const FILL_BYTES = 200; // of a body
export const FILL_DISK_BYTES = 900; // of disk for each of them: body, headers, a delivery, indexes, room
const TEMPLATES = 20_000; // events that the others are made of
const CHUNK = 1_000_000; // events of one INSERT
const CACHE_SHARE = 8; // of the memory, for the index: random ids go everywhere in it

// What the statements print; the service is stopped.
export function sql(file, text) {
  const ran = spawnSync('sqlite3', ['-bail', file], { input: text, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (ran.error?.code === 'ENOENT') throw new Error('sqlite3 is not installed (Debian: sqlite3)');
  if (ran.status !== 0) throw new Error(`sqlite3: ${ran.error ?? ran.stderr}`);
  return ran.stdout.trim();
}

const number = (file, text) => Number(sql(file, text));

// A UUID as GitHub's, of the hex digits `h`; version 7 with the time in front.
const uuids = {
  v4: "substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-a' || substr(h, 18, 3) || '-' || substr(h, 21)",
  v7: "printf('%08x-%04x-7', us / 1000 >> 16, us / 1000 & 65535) || substr(h, 14, 3) || '-a' || substr(h, 18, 3) || '-' || substr(h, 21)",
};

// Events first … last of from … to, which were received between `begins` and `ends` (ms), one after the other.
function chunk({ first, last, from, to, ids: kind, begins, ends, bodies, deliveries }) {
  const us = `(${begins * 1000} + (s.value - ${from}) * ${Math.max(0, ends - begins)} / ${Math.max(1, to - from)}.0 * 1000)`;
  const states = Object.entries(deliveries).map(([name, state]) => `('${name}', '${state}')`).join(', ');
  return `
    DELETE FROM temp.fresh;
    INSERT INTO temp.fresh SELECT seq, us, ${uuids[kind]} FROM (
      SELECT s.value AS seq, CAST(${us} AS INTEGER) AS us, lower(hex(randomblob(16))) AS h
      FROM generate_series(${first}, ${last}) AS s LIMIT -1 OFFSET 0);
    INSERT INTO main.events (seq, source, event_id, type, received_at, headers, hash, body)
      SELECT f.seq, t.source, f.id, t.type,
        strftime('%Y-%m-%dT%H:%M:%S', f.us / 1000000, 'unixepoch') || printf('.%06dZ', f.us % 1000000),
        replace(t.headers, t.event_id, f.id), t.hash, t.body
      FROM temp.fresh AS f CROSS JOIN temp.template AS t ON t.seq = f.seq % (SELECT count(*) FROM temp.template);
    INSERT INTO main.delivery (seq, handler, state, attempts, due)
      SELECT f.seq, h.id, CASE w.column2 WHEN 'done' THEN 2 ELSE 0 END, w.column2 = 'done', f.us * 1000
      FROM temp.fresh AS f CROSS JOIN (VALUES ${states}) AS w CROSS JOIN main.handler AS h ON h.name = w.column1 ORDER BY f.seq, h.id;
  `;
}

const newest = (file) => number(file,
  "SELECT CAST(strftime('%s', received_at) AS INTEGER) * 1000 FROM events ORDER BY seq DESC LIMIT 1");

// Puts `count` more events into the store in `file`, which has some already, and whose service is stopped.
//   ids             v7 rises with time, v4 is random
//   begins, ends    when they were received, ms; from the newest event until now when not given
//   deliveries      what each handler has made of them: { NAME: 'done' | 'pending' }
//   afresh          what is there is the pattern alone, and goes; its numbers are not used again
export function multiply(file, { count, ids, begins = newest(file), ends = Date.now(), deliveries, afresh = false }) {
  const from = number(file, "SELECT value FROM meta WHERE name = 'seq'") + 1;
  const to = from + count - 1;
  const parts = [`
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -${Math.floor(os.totalmem() / 1024 / CACHE_SHARE)};
    CREATE TEMP TABLE template AS SELECT row_number() OVER () - 1 AS seq, source, event_id, type, headers, hash, body
      FROM (SELECT * FROM main.events WHERE body IS NOT NULL ORDER BY seq LIMIT ${TEMPLATES});
    CREATE UNIQUE INDEX temp.template_seq ON template (seq);
    CREATE TEMP TABLE fresh (seq INTEGER PRIMARY KEY, us INTEGER, id TEXT);
    BEGIN EXCLUSIVE;
    ${afresh ? 'DELETE FROM main.events; DELETE FROM main.delivery;' : ''}
  `];
  for (let first = from; first <= to; first += CHUNK) {
    parts.push(chunk({ first, last: Math.min(to, first + CHUNK - 1), from, to, ids, begins, ends, deliveries }));
  }
  parts.push(`
    DELETE FROM main.ledger;
    INSERT INTO main.ledger SELECT seq >> 16, handler, state, count(*) FROM main.delivery GROUP BY 1, 2, 3;
    INSERT INTO main.ledger SELECT segment, handler, 5, sum(count) FROM main.ledger GROUP BY 1, 2;
    UPDATE main.meta SET value = ${to} WHERE name = 'seq';
    COMMIT;
    PRAGMA locking_mode = NORMAL;
    PRAGMA journal_mode = WAL;
  `);
  sql(file, parts.join('\n'));
  settle(file);
}

// As the purge leaves the oldest events after `bodies`.
export function forgetBodies(file, count) {
  sql(file, `UPDATE events SET body = NULL, headers = '[]' WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT ${count})`);
  settle(file);
}

// On the disk, and its directory too.
function settle(file) {
  for (const name of [file, path.dirname(file)]) {
    const descriptor = fs.openSync(name, 'r');
    fs.fsyncSync(descriptor);
    fs.closeSync(descriptor);
  }
}

// The pattern: a store whose first events came through the front door and were handled. `handlers`: their names, all of them `log`.
// `prepare(server)` may change more while the service runs. Returns the file.
export async function seed(bench, directory, { handlers, events = TEMPLATES, ids, prepare = () => {} }) {
  const server = await bench.start('hooklatch', directory, {
    cpu: undefined, settings: { handlers: Object.fromEntries(handlers.map((name) => [name, { on: ['github/*'], log: {} }])) },
  });
  await bench.load(server, { what: 'first events', connections: 64, size: FILL_BYTES, requests: events, ids, timeout: 60 });
  for (let stats = server.stats(); stats.done < stats.received; stats = server.stats()) await sleep(50);
  await prepare(server);
  await server.stop();
  fs.rmSync(path.join(directory, 'hooklatch.log'));
  return path.join(directory, 'hooklatch.db');
}
